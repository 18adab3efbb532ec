import Methods

/// A size at which MethodLawTests hold every method to the law of ranks. Settings are as for `--set`.
struct MethodSize {
    struct Row {
        let kind: MethodKind
        let name: String
        let settings: [String]

        init(_ kind: MethodKind, _ name: String, _ settings: [String]) {
            (self.kind, self.name, self.settings) = (kind, name, settings)
        }
    }

    /// Height and width of the images in pixels, at most 255.
    let side: Int
    /// Settings of all methods.
    let common: [String]
    /// Settings that make batches pass in micro-batches.
    let microBatches: [String]
    /// How far parameters have to move, of themselves: several times what compared runs may be apart.
    let leastMove: Double
    /// By how much losses may differ, of themselves.
    let lossTolerance: Double
    /// Settings that leave one of three ranks without a sample in some step.
    let fewSamples: [String]
    /// Seeds at which first gradients are tried, until they agree.
    let draws: Int
    /// Methods whose first row is also compared in bfloat16, in many runs of 50 steps.
    let rounded: [MethodKind]
    /// Settings of each method, which may have several rows.
    let rows: [Row]

    /// Of any size.
    private static let always = [
        "seed=3", "data.virtualShards=8", "data.augmentation.padCrop=2", "data.augmentation.flip=true",
        "optimiser.warmupSteps=0",
    ]

    /// Another kind of encoder than that of the common settings.
    private static func other(_ kind: String) -> [String] {
        ["encoder.kind=\(kind)", "encoder.fullyConnected=[]", "encoder.blocks=[]"]
    }

    /// Seconds for all methods. Without such epsilons Adam makes whole steps of gradients that are nothing but
    /// rounding.
    static let small = MethodSize(
        side: 12,
        common: always + [
            "batch=12", "steps=5", "optimiser.rate=1e-3", "optimiser.epsilon=1e-4", "encoder.kind=convolutional",
            "encoder.fullyConnected=[16]",
            "encoder.blocks=[{channels: 6}]",
        ],
        microBatches: ["microBatch=2"],
        leastMove: 1e-3,
        lossTolerance: 1e-4,
        fewSamples: ["batch=3", "steps=5"],
        draws: 1,
        rounded: [.deepInfoMax, .byol, .factorVAE],
        rows: [
            Row(
                .deepInfoMax, "mixture",
                [
                    "critic.units=8", "objective.prior.weight=0.1", "objective.globalWeight=0.5",
                    "objective.coordinatesWeight=0.2", "objective.occlusion=5",
                    "objective.prior.optimiser.epsilon=1e-4",
                ]),
            Row(
                .deepInfoMax, "fast",
                other("fast") + ["encoder.fast.widths=[6, 8]", "critic.units=8", "optimiser.rate=5e-4"]),
            Row(
                .byol, "small",
                [
                    "projector.hidden=12", "projector.width=6", "predictor.hidden=12", "predictor.width=6",
                    "momentum.start=0.5",
                ]),
            Row(.simclr, "small", ["projector.hidden=12", "projector.width=6"]),
            Row(
                .simclr, "lars",
                [
                    "projector.hidden=12", "projector.width=6", "optimiser.kind=lars", "optimiser.epsilon=1e-8",
                    "optimiser.rate=0.1", "optimiser.weightDecay=1e-3",
                ]),
            Row(
                .simclr, "sgd",
                [
                    "projector.hidden=12", "projector.width=6", "optimiser.kind=sgd", "optimiser.epsilon=1e-8",
                    "optimiser.rate=1e-2", "optimiser.weightDecay=1e-3", "optimiser.nesterov=true",
                ]),
            Row(
                .simclr, "residual",
                other("residual") + [
                    "encoder.residual.depth=0", "encoder.residual.blocks=[1, 1]", "encoder.residual.width=4",
                    "encoder.code=0", "projector.hidden=12", "projector.width=6", "optimiser.rate=5e-4",
                ]),
            Row(
                .mocoV2, "small",
                ["projector.hidden=12", "projector.width=6", "queue=30", "groups=3", "momentum.start=0.5"]),
            Row(
                .simsiam, "small",
                ["projector.hidden=12", "projector.width=6", "predictor.hidden=[12, 8]", "predictor.width=6"]),
            Row(.barlowTwins, "small", ["projector.hidden=12", "projector.width=6", "optimiser.rate=5e-4"]),
            Row(.vicreg, "small", ["projector.hidden=[12, 12]", "projector.width=6"]),
            Row(
                .simclr, "views",
                ["projector.hidden=12", "projector.width=6", "views.large=3", "views.small=2"]),
            Row(.multiPatch, "small", ["projector.hidden=12", "projector.width=6", "patches=3"]),
            Row(.supervised, "small", ["viewsPerImage=2"]),
            Row(
                .factorVAE, "small",
                [
                    "decoder.channels=4", "discriminator.layers=3", "discriminator.units=16", "discriminator.times=2",
                    "discriminator.optimiser.epsilon=1e-4", "encoder.code=3", "gamma=2",
                ]),
        ])

    /// Networks of default sizes, also with other settings. Steps are small enough for losses to fall from the first to
    /// the last: in larger ones, a rectifier that rounding turns over is a thousandth in the losses some steps later.
    /// Batch norms of one rank's own rows (`batchNorm=local`) are left out: their loss depends on the ranks by design.
    static let large = MethodSize(
        side: 28,
        common: always + ["batch=48", "steps=10", "optimiser.rate=1e-5", "optimiser.epsilon=1e-4"],
        microBatches: ["microBatch=5"],
        leastMove: 5e-4,
        // One rank differs from itself by 2e-4 with other instructions (ONEDNN_MAX_CPU_ISA=AVX), as in micro-batches.
        lossTolerance: 1e-3,
        // Batch norms over three rows make a hundredth of rounding within some steps: on one rank with other
        // instructions (ONEDNN_MAX_CPU_ISA=SSE41) just as on three.
        fewSamples: ["batch=3", "steps=3", "optimiser.rate=1e-6"],
        draws: 3,
        rounded: MethodKind.allCases,
        rows: [
            Row(
                .deepInfoMax, "mixture",
                [
                    "objective.prior.weight=0.1", "objective.globalWeight=0.5", "objective.coordinatesWeight=0.2",
                    "objective.occlusion=9", "objective.prior.optimiser.rate=1e-5",
                    "objective.prior.optimiser.epsilon=1e-4",
                ]),
            Row(.deepInfoMax, "infoNCE-both-layerNorm", ["objective.anchor=both", "critic.normalisation=layerNorm"]),
            Row(.deepInfoMax, "jensenShannon", ["objective.estimator=jensenShannon", "objective.globalWeight=1"]),
            Row(
                .deepInfoMax, "concatenated-layerNorm",
                [
                    "critic.kind=concatenated", "critic.normalisation=layerNorm", "critic.units=64",
                    "objective.estimator=donskerVaradhan",
                ]),
            Row(.byol, "default", []),
            Row(.simclr, "defaults", []),
            Row(.mocoV2, "defaults", ["groups=3", "queue=100"]),
            Row(.simsiam, "defaults", []),
            Row(.barlowTwins, "defaults", []),
            Row(.vicreg, "defaults", []),
            Row(.multiPatch, "defaults", []),
            Row(.supervised, "defaults", []),
            Row(
                .byol, "wide",
                [
                    "projector.hidden=1024", "projector.width=256", "predictor.hidden=1024", "predictor.width=256",
                    "momentum.start=0.5",
                ]),
            Row(
                .factorVAE, "default",
                ["discriminator.optimiser.rate=1e-5", "discriminator.optimiser.epsilon=1e-4"]),
            Row(
                .factorVAE, "many-latents",
                [
                    "encoder.code=32", "decoder.channels=64", "discriminator.times=3", "gamma=40",
                    "discriminator.optimiser.rate=1e-5", "discriminator.optimiser.epsilon=1e-4",
                ]),
        ])
}
