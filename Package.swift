// swift-tools-version: 6.0
import PackageDescription

// The manifest is the architecture: a target imports only targets that are above it in this file
// (`launch/check-imports` checks every import line).
//
// Kernels are compiled for the processor level in DIM_DIST_MARCH (default x86-64-v3: AVX2 and FMA). `native` is faster
// on the machine that builds, but the program may not start on another.
let level = Context.environment["DIM_DIST_MARCH"] ?? "x86-64-v3"

/// Kernels. In release they have no overflow or bounds traps, so they must not rely on a trap to catch bad input. In
/// debug they are optimised too, with traps; otherwise tests would take minutes.
let kernels: [SwiftSetting] = [
    .unsafeFlags(["-Ounchecked", "-Xcc", "-march=\(level)"], .when(configuration: .release)),
    .unsafeFlags(["-O"], .when(configuration: .debug)),
    .unsafeFlags(["-Xcc", "-fno-math-errno"]),
]

/// `Tests/fuzz` sets this: FuzzTests then become a program that libFuzzer drives.
let isFuzzed = Context.environment["DIM_DIST_FUZZ"] == "1"

let package = Package(
    name: "dim-dist",
    products: [.executable(name: "dim-dist", targets: ["dim-dist"])],
    targets: [
        // MARK: - C libraries, each with the few lines that Swift's importer needs
        .systemLibrary(name: "CBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CLBFGS", providers: [.apt(["liblbfgs-dev"])]),
        .systemLibrary(name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
        .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
        .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
        .systemLibrary(name: "CRandom123", providers: [.apt(["librandom123-dev"])]),
        .systemLibrary(name: "CTurboJPEG", pkgConfig: "libturbojpeg", providers: [.apt(["libturbojpeg0-dev"])]),
        .systemLibrary(name: "CVector"),
        .systemLibrary(name: "CZip", pkgConfig: "libzip", providers: [.apt(["libzip-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

        // MARK: - Layer 1: communication of ranks
        .target(
            name: "Collectives", exclude: ["README.md"],
            swiftSettings: [.unsafeFlags(["-O"], .when(configuration: .debug))]),
        .target(name: "MPI", dependencies: ["Collectives", "CMPI"], exclude: ["README.md"]),

        // MARK: - Layer 2: arrays and kernels
        .target(
            name: "Tensors", dependencies: ["Collectives", "CBLAS", "COneDNN", "CRandom123", "CVector"],
            exclude: ["README.md"], swiftSettings: kernels),

        // MARK: - Layer 3: gradients, and layers with parameters
        .target(
            name: "Autodiff", dependencies: ["Tensors", "Collectives"], exclude: ["README.md"], swiftSettings: kernels),
        .target(
            name: "Layers", dependencies: ["Autodiff", "Tensors", "Collectives"], exclude: ["README.md"],
            swiftSettings: kernels),

        // MARK: - Layer 4: losses
        .target(
            name: "Objectives", dependencies: ["Layers", "Autodiff", "Tensors", "Collectives"], exclude: ["README.md"],
            swiftSettings: kernels),

        // MARK: - Layer 5: networks
        .target(
            name: "Networks", dependencies: ["Layers", "Autodiff", "Tensors", "Collectives"], exclude: ["README.md"]),

        // MARK: - Layer 6: data. No gradients here: an augmentation is never differentiated.
        .target(
            name: "Datasets",
            dependencies: ["Tensors", "Collectives", "CPNG", "CTurboJPEG", "CZip", "CZlib"],
            exclude: ["README.md"]),

        // MARK: - Layer 7: the training loop
        .target(
            name: "Training",
            dependencies: [
                "Datasets", "Networks", "Objectives", "Layers", "Autodiff", "Tensors", "Collectives", "CZlib",
            ],
            exclude: ["README.md"]),

        // MARK: - Layer 8: methods of training, a file for each
        .target(
            name: "Methods",
            dependencies: [
                "Training", "Datasets", "Networks", "Objectives", "Layers", "Autodiff", "Tensors", "Collectives",
            ],
            exclude: ["README.md"]),

        // MARK: - Layer 8: scores of features
        .target(
            name: "Evaluation",
            dependencies: [
                "Training", "Datasets", "Networks", "Objectives", "Layers", "Autodiff", "Tensors", "Collectives",
                "CLBFGS",
            ],
            exclude: ["README.md"]),

        // MARK: - Layer 9: the command line, the only target that picks MPI
        .executableTarget(
            name: "dim-dist",
            dependencies: [
                "Evaluation", "Methods", "Training", "Datasets", "Networks", "Objectives", "Layers", "Autodiff",
                "Tensors", "MPI",
                "Collectives",
            ],
            exclude: ["README.md"]),

        // MARK: - Tests. RankTests run under mpirun at several world sizes, the others alone.
        .testTarget(name: "TensorsTests", dependencies: ["Tensors", "Collectives"]),
        .testTarget(name: "AutodiffTests", dependencies: ["Layers", "Autodiff", "Tensors", "Collectives"]),
        .testTarget(
            name: "ObjectivesTests", dependencies: ["Objectives", "Layers", "Autodiff", "Tensors", "Collectives"]),
        .testTarget(
            name: "DatasetsTests", dependencies: ["Datasets", "Tensors", "Collectives", "CZip", "CZlib"],
            exclude: ["Fixtures"]),
        .testTarget(
            name: "TrainingTests",
            dependencies: [
                "Methods", "Training", "Evaluation", "Datasets", "Networks", "Layers", "Autodiff", "Tensors",
                "Collectives",
            ], exclude: ["Fixtures"]),
        .testTarget(
            name: "EvaluationTests",
            dependencies: ["Evaluation", "Datasets", "Layers", "Autodiff", "Tensors", "Collectives", "MPI"],
            exclude: ["Fixtures"]),
        .testTarget(name: "CommandTests", dependencies: ["dim-dist", "Datasets"], exclude: ["Fixtures"]),
        .testTarget(
            name: "RankTests",
            dependencies: [
                "Methods", "Training", "Datasets", "Networks", "Objectives", "Layers", "Autodiff", "Tensors", "MPI",
                "Collectives",
            ], exclude: ["Fixtures"], swiftSettings: kernels),
    ]
        + (isFuzzed
            ? [
                .systemLibrary(name: "CFuzzer", path: "Tests/FuzzTests/CFuzzer"),
                .executableTarget(
                    name: "FuzzTests",
                    dependencies: [
                        "Methods", "Training", "Datasets", "Networks", "Objectives", "Layers", "Tensors", "Collectives",
                        "CZlib", "CFuzzer",
                    ], path: "Tests/FuzzTests", exclude: ["CFuzzer", "Corpus", "CorpusTests.swift"]),
            ]
            : [
                .testTarget(
                    name: "FuzzTests",
                    dependencies: [
                        "Methods", "Training", "Datasets", "Networks", "Objectives", "Layers", "Tensors", "Collectives",
                        "CZlib",
                    ],
                    exclude: ["CFuzzer", "Corpus", "Fuzz.swift"])
            ]),
    swiftLanguageModes: [.v6]
)
