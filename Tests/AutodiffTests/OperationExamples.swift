import Autodiff
import Tensors

/// Every operation of `Tape`, under its name in the sources.
enum Operation: String, CaseIterable {
    case add
    case batchNorm
    case columns
    case concatenateColumns
    case concatenateRows
    case convolution
    case crossEntropy
    case dropout
    case hyperbolicTangent
    case interleaveRows
    case layerNorm
    case leakyRectify
    case linear
    case masked
    case maxPool
    case middle
    case meanSquaredError
    case meanSquaredNorm
    case momentNormalisedLinear
    case foldedNormalisation
    case globalMaximum
    case globalMean
    case product
    case rectifiedLinear
    case rectify
    case repeatRows
    case reshape
    case rows
    case sampled
    case sigmoid
    case sum
    case transposedConvolution
    case unitRows
    case weightedSum

    var examples: [GradientExample] {
        switch self {
        case .add:
            [
                GradientExample("x + y", [Values([2, 3], 1), Values([2, 3], 2)]) { $0.add($1[0], $1[1]) },
                GradientExample("x + x", [Values([2, 3], 1)]) { $0.add($1[0], $1[0]) },
            ]
        case .batchNorm: batchNorms
        case .columns:
            [GradientExample("2 of 5", [Values([3, 5], 1)]) { $0.columns($1[0], 1..<3) }]
        case .concatenateColumns:
            [
                GradientExample("[x y z]", [Values([4, 1], 1), Values([4, 3], 2), Values([4, 2], 3)]) {
                    $0.concatenateColumns($1)
                },
                GradientExample("[x y x]", [Values([3, 2], 1), Values([3, 1], 2)]) {
                    $0.concatenateColumns([$1[0], $1[1], $1[0]])
                },
            ]
        case .concatenateRows:
            [
                GradientExample("x y x", [Values([2, 3], 1), Values([1, 3], 2)]) {
                    $0.concatenateRows([$1[0], $1[1], $1[0]])
                }
            ]
        case .convolution:
            [
                GradientExample("3x3", [Values([2, 5, 4, 3], 1), Values([2, 3, 3, 3], 2)]) {
                    try $0.convolution($1[0], weight: $1[1], stride: 1, padding: 1)
                },
                GradientExample("1x1", [Values([2, 3, 4, 3], 1), Values([2, 3, 1, 1], 2)]) {
                    try $0.convolution($1[0], weight: $1[1], stride: 1, padding: 0)
                },
                GradientExample("1x1, stride 2", [Values([2, 5, 4, 3], 1), Values([2, 3, 1, 1], 2)]) {
                    try $0.convolution($1[0], weight: $1[1], stride: 2, padding: 0)
                },
                GradientExample("3x3 on 1x1", [Values([4, 1, 1, 3], 1), Values([2, 3, 3, 3], 2)]) {
                    try $0.convolution($1[0], weight: $1[1], stride: 2, padding: 1)
                },
                GradientExample("3x3, less padding at the end", [Values([2, 5, 4, 3], 1), Values([2, 3, 3, 3], 2)]) {
                    try $0.convolution($1[0], weight: $1[1], stride: 1, padding: 1, rest: (below: 0, right: 1))
                },
                GradientExample("4x4, stride 2", [Values([2, 5, 6, 1], 1), Values([3, 1, 4, 4], 2)]) {
                    try $0.convolution($1[0], weight: $1[1], stride: 2, padding: 1)
                },
            ]
        case .crossEntropy:
            [
                GradientExample("3 rows of 4", [Values([3, 4], 1)]) { $0.crossEntropy($1[0], labels: [3, 0, 3]) },
                GradientExample("sum of two", [Values([3, 4], 1)]) {
                    let first = $0.crossEntropy($1[0], labels: [3, 0, 3])
                    let second = $0.crossEntropy($1[0], labels: [1, 1, 2])
                    return $0.add($0.add(first, second), second)
                },
                GradientExample("two rows an image", [Values([4, 3], 1)]) {
                    $0.crossEntropy($1[0], labels: [2, 0, 1, 1], rowsPerImage: 2)
                },
            ]
        case .dropout:
            [
                GradientExample("rate 0.3", [Values([4, 6], 1)]) {
                    $0.dropout($1[0], rate: 0.3, seed: 7, step: 2, samples: [5, 1, 4, 2])
                }
            ]
        case .layerNorm:
            [
                GradientExample("rows of 5", [Values([4, 5], 1), Values([5], 2), Values([5], 3)]) {
                    $0.layerNorm($1[0], scale: $1[1], shift: $1[2])
                }
            ]
        case .leakyRectify:
            [
                GradientExample("either side of 0", [Values([2, 3], [0.5, -0.5, 1, -2, 2, 0.3])]) {
                    $0.leakyRectify($1[0], slope: 0.2)
                }
            ]
        case .globalMaximum:
            [
                // No two values are nearer than two steps of a difference in either direction.
                GradientExample("2x3", [Values([2, 2, 3, 2], (0..<24).map { Float($0 * 7 % 24) / 4 - 2 })]) {
                    $0.globalMaximum($1[0])
                },
                GradientExample("one location", [Values([3, 1, 1, 2], 1)]) { $0.globalMaximum($1[0]) },
            ]
        case .globalMean: [GradientExample("2x3", [Values([2, 2, 3, 4], 1)]) { $0.globalMean($1[0]) }]
        case .hyperbolicTangent:
            [GradientExample("tanh x", [Values([3, 7], 1)]) { $0.hyperbolicTangent($1[0]) }]
        case .interleaveRows:
            [
                GradientExample("x y z", [Values([2, 3], 1), Values([2, 3], 2), Values([2, 3], 3)]) {
                    $0.interleaveRows($1)
                }
            ]
        case .linear:
            [
                GradientExample("with a bias", [Values([2, 3, 4], 1), Values([5, 4], 2), Values([5], 3)]) {
                    try $0.linear($1[0], weight: $1[1], bias: $1[2])
                },
                GradientExample("without", [Values([3, 4], 1), Values([2, 4], 2)]) {
                    try $0.linear($1[0], weight: $1[1])
                },
            ]
        case .masked:
            [
                GradientExample("by signs", [Values([2, 3], 1)]) {
                    $0.masked($1[0], wherePositive: $0.device.tensor([2, 3], [1, -1, 0, 2, -2, 3]))
                }
            ]
        case .maxPool: maxPools
        case .middle: [GradientExample("3x3", [Values([2, 3, 3, 3], 1)]) { $0.middle($1[0]) }]
        case .meanSquaredNorm: [GradientExample("3 rows", [Values([3, 4], 1)]) { $0.meanSquaredNorm($1[0]) }]
        case .meanSquaredError:
            [
                GradientExample("to a target", [Values([3, 2, 4], 1)]) {
                    $0.meanSquaredError($1[0], target: $0.device.tensor([3, 2, 4], normals(24, 2)))
                },
                GradientExample("sum of two", [Values([2, 5], 1)]) {
                    let first = $0.meanSquaredError($1[0], target: $0.device.tensor([2, 5], normals(10, 2)))
                    let second = $0.meanSquaredError($1[0], target: $0.device.tensor([2, 5], normals(10, 3)))
                    return $0.add($0.add(first, second), second)
                },
            ]
        case .momentNormalisedLinear:
            [
                momentNormalised {
                    try $0.momentNormalisedLinear($1[0], weight: $1[1], scale: $1[2], shift: $1[3], scope: .sync)
                }
            ]
        case .foldedNormalisation:
            [
                momentNormalised {
                    try $0.foldedNormalisation(of: $1[0], weight: $1[1], scale: $1[2], shift: $1[3], scope: .sync)
                }
            ]
        case .product:
            [
                GradientExample("x·w", [Values([3, 4], 1), Values([4, 2], 2)]) { try $0.product($1[0], $1[1]) },
                GradientExample("x·x", [Values([3, 3], 1)]) { try $0.product($1[0], $1[0]) },
            ]
        case .rectify:
            [GradientExample("either side of 0", [Values([2, 3], [0.5, -0.5, 1, -2, 2, 0.3])]) { $0.rectify($1[0]) }]
        case .rectifiedLinear:
            [
                GradientExample(
                    "either side of 0", [Values([4, 3], 1), Values([2, 4], [1, 2, -1, 0.1, -2, 1, 1, 0.2])]
                ) {
                    try $0.rectifiedLinear($1[0], layer: $1[1])
                }
            ]
        case .repeatRows: [GradientExample("3 times", [Values([2, 4], 1)]) { $0.repeatRows($1[0], times: 3) }]
        case .reshape:
            [GradientExample("to three axes", [Values([2, 6], 1)]) { $0.reshape($1[0], [2, 3, 2]) }]
        case .rows:
            [
                GradientExample("2 of 4", [Values([4, 3], 1)]) { $0.rows($1[0], 1..<3) },
                GradientExample("of four axes", [Values([3, 2, 1, 2], 1)]) { $0.rows($1[0], 1..<3) },
                GradientExample("some twice", [Values([4, 2], 1)]) {
                    $0.add($0.rows($1[0], 0..<3), $0.rows($1[0], 1..<4))
                },
                GradientExample("none", [Values([2, 2], 1)]) {
                    $0.concatenateColumns([$0.rows($1[0], 0..<2), $0.reshape($0.rows($1[0], 2..<2), [2, 0])])
                },
            ]
        case .sampled:
            [
                GradientExample("every second", [Values([2, 5, 4, 2], 1)]) { $0.sampled($1[0], step: 2) },
                GradientExample("all", [Values([1, 2, 3, 2], 1)]) { $0.sampled($1[0], step: 1) },
            ]
        case .sigmoid: [GradientExample("2 rows of 3", [Values([2, 3], 1)]) { $0.sigmoid($1[0]) }]
        case .sum:
            [
                GradientExample("x + y + x", [Values([2, 3], 1), Values([2, 3], 2)]) {
                    $0.sum([$1[0], $1[1], $1[0]])
                }
            ]
        case .unitRows: [GradientExample("3 rows", [Values([3, 4], 1)]) { $0.unitRows($1[0]) }]
        case .weightedSum:
            [
                GradientExample("x - 2y + x/2", [Values([1], 1), Values([1], 2)]) {
                    $0.weightedSum([($1[0], 1), ($1[1], -2), ($1[0], 0.5)])
                }
            ]
        case .transposedConvolution:
            [
                GradientExample("3x3", [Values([2, 4, 3, 3], 1), Values([3, 2, 3, 3], 2)]) {
                    try $0.transposedConvolution($1[0], weight: $1[1], stride: 1, padding: 1)
                },
                GradientExample("4x4, stride 2", [Values([2, 2, 3, 2], 1), Values([2, 3, 4, 4], 2)]) {
                    try $0.transposedConvolution($1[0], weight: $1[1], stride: 2, padding: 1)
                },
            ]
        }
    }

    /// Batch norm with and without a rectifier, by the batch's statistics and by fixed ones.
    private var batchNorms: [GradientExample] {
        let channels = 3
        let signs = alternatingRows(12, columns: channels)
        let x = zip(signs, normals(signs.count, 1)).map { 0.5 + 1.5 * $0 + 0.2 * $1 }  // normalised: about ±1
        let inputs = [
            Values([3, 2, 2, channels], x), Values([channels], [0.8, -1.2, 1]), Values([channels], [0.1, 0.2, -0.1]),
        ]
        // The skip moves values away from the rectifier's kink.
        let skip = Values([3, 2, 2, channels], signs.map { 0.7 * $0 })
        let skipped = GradientExample("adding a skip, rectified", inputs + [skip]) {
            try $0.batchNorm(
                $1[0], scale: $1[1], shift: $1[2], rectified: true, scope: .sync, adding: $1[3]
            ).y
        }
        let twice = GradientExample("adding its own input", inputs) {
            try $0.batchNorm(
                $1[0], scale: $1[1], shift: $1[2], rectified: false, scope: .sync, adding: $1[0]
            ).y
        }
        return [skipped, twice]
            + [false, true].flatMap { rectified in
                [nil, ChannelStatistics(mean: [0.3, 0.5, 0.6], variance: [2, 1.5, 1])].map { fixed in
                    let name = "\(fixed == nil ? "batch" : "fixed") statistics, \(rectified ? "rectified" : "linear")"
                    return GradientExample(name, inputs) {
                        try $0.batchNorm(
                            $1[0], scale: $1[1], shift: $1[2], rectified: rectified, scope: .sync, fixed: fixed
                        ).y
                    }
                }
            }
    }

    /// Windows that overlap, and that leave pixels at the edge out. No two values are nearer than two steps of a
    /// difference in either direction.
    private var maxPools: [GradientExample] {
        let shape = [2, 5, 6, 2]
        let x = Values(shape, (0..<120).map { Float($0 * 43 % 120) / 12 - 5 })
        return [
            GradientExample("3x3, stride 2", [x]) { $0.maxPool($1[0], window: 3, stride: 2) },
            GradientExample("2x2, stride 2", [x]) { $0.maxPool($1[0], window: 2, stride: 2) },
            GradientExample("2x2, stride 3", [x]) { $0.maxPool($1[0], window: 2, stride: 3) },
            GradientExample("3x3, stride 2, padding 1", [x]) { $0.maxPool($1[0], window: 3, stride: 2, padding: 1) },
        ]
    }

    /// Rows on either side of a plane, so that normalised projections are about ±1, away from the rectifier's kink.
    private func momentNormalised(
        _ body: @escaping @Sendable (Tape, [Variable]) throws -> Variable
    ) -> GradientExample {
        let (rows, channels, units) = (12, 3, 4)
        let signs = alternatingRows(rows, columns: channels)
        let direction: [Float] = [1, -0.7, 0.8]
        let x = zip(signs, normals(signs.count, 1)).enumerated().map { i, pair in
            0.4 + pair.0 * direction[i % channels] + 0.2 * pair.1
        }
        let w: [Float] = [1, 0.2, 0.5, -0.6, 0.9, -0.3, 0.3, -1, -0.2, 0.9, -0.4, 0.8]
        return GradientExample(
            "rows [2, 6, 3]",
            [
                Values([2, rows / 2, channels], x), Values([units, channels], w), Values([units], [0.8, -1.2, 1, 0.6]),
                Values([units], [0.1, 0.2, -0.1, 0]),
            ],
            body)
    }

    /// Rows of 1, -1, 1, ...
    private func alternatingRows(_ rows: Int, columns: Int) -> [Float] {
        (0..<rows * columns).map { $0 / columns % 2 == 0 ? 1 : -1 }
    }
}
