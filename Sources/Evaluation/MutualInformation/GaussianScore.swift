import Collectives
import Foundation
import Tensors

/// The score ln p(x,y)/(p(x)p(y)) of the Gaussian that fits the rows. A critic starts from it, so that linear
/// dependence, however sharp, needs no training. The network only learns the rest.
///
/// With canonical variables a_k of x and b_k of y (Hotelling 1936) and their correlations ρ_k,
///
///     score = Σ_k (ρ_k a_k b_k - ρ_k²(a_k² + b_k²)/2)/(1 - ρ_k²) - ln(1 - ρ_k²)/2.
///
/// For labels, with a column for each class, it is Fisher's discriminant. The variables are found on training rows, and
/// their correlations on validation rows, where variables that were found by chance don't correlate.
struct GaussianScore {
    private let left, right: Variables
    private let correlations: [Double]
    /// Number of variables, the first ones, whose remainders give a critic waves.
    let waveVariables: Int
    /// Factor of the score, at least 0. Where the rows are far from a Gaussian, the best factor is below 1.
    var strength = 1.0

    /// Canonical variables of one side: the rows of `map`·x + `shift`, of mean 0 and variance 1 on validation rows.
    fileprivate struct Variables {
        var map: Tensor  // [r, D]
        var shift: [Float]

        func callAsFunction(_ x: Matrix, device: Device) throws -> Tensor {
            let result = device.tensor([x.rows, shift.count])
            try multiply(x, map.matrix.transposed, into: result.matrix)
            let ones = [Float](repeating: 1, count: shift.count)
            result.matrix.setAffine(of: result.matrix, scale: ones, shift: shift, rectified: false)
            return result
        }
    }

    /// Most columns of a side; more would take too long.
    static let mostColumns = 4096
    /// Most principal components of a side, from which canonical variables are made.
    private static let mostComponents = 256
    /// Fewest rows for each component.
    private static let rowsPerComponent = 4
    /// Most canonical variables.
    private static let mostVariables = 64
    /// Least 1 - ρ²: with less, the score is the difference of two large numbers, which float32 can't represent well.
    private static let leastUnexplained = 1e-5
    /// A correlation below this many standard errors, 1/√rows, counts as chance. Of 256 variables without correlation,
    /// one passes this limit in one of 17 cases.
    private static let leastErrors = 3.5
    /// Singular values of the training rows' correlations below this are rounding.
    private static let leastSingularValue: Float = 1e-3

    /// Number of waves of a remainder, and the longest wave, in the remainder's deviations. The others are the longest
    /// divided by 2, 3 and so on.
    static let waves = 64
    private static let longestWave = 16.0
    /// Variables that have waves: their most, their least correlation, and the most columns of a side.
    private static let mostWaveVariables = 2, leastWaveCorrelation = 0.7, mostWaveColumns = 5

    /// nil where nothing correlates. Collective; the same bits on every rank.
    /// - Parameters:
    ///   - training, validation: this rank's rows [n, Dx] and [n, Dy], all finite.
    init?(
        training: (x: Tensor, y: Tensor), validation: (x: Tensor, y: Tensor), ranks: any Ranks, device: Device
    ) throws {
        guard max(training.x.shape[1], training.y.shape[1]) <= Self.mostColumns else { return nil }
        var (left, right) = try Self.canonicalVariables(training, ranks: ranks, device: device)
        let count = left.shift.count
        let (a, b) = (try left(validation.x.matrix, device: device), try right(validation.y.matrix, device: device))
        var sums = [Double](repeating: 0, count: 5 * count)
        for row in 0..<a.shape[0] {
            let (a, b) = (a.matrix.row(row), b.matrix.row(row))
            for k in 0..<count {
                let (a, b) = (Double(a[k]), Double(b[k]))
                for (index, value) in [a, b, a * a, b * b, a * b].enumerated() { sums[index * count + k] += value }
            }
        }
        let rows = Double(try ranks.sum([a.shape[0]])[0])
        let means = try ranks.sum(sums).map { $0 / rows }
        var kept: [Int] = []
        var correlations: [Double] = []
        for k in 0..<count {
            let (a, b) = (means[k], means[count + k])
            let variances = (means[2 * count + k] - a * a, means[3 * count + k] - b * b)
            let correlation = (means[4 * count + k] - a * b) / (variances.0 * variances.1).squareRoot()
            guard correlation.isFinite, correlation >= Self.leastErrors / rows.squareRoot() else { continue }
            kept.append(k)
            correlations.append(min(correlation, (1 - Self.leastUnexplained).squareRoot()))
            left.standardise(k, mean: a, variance: variances.0)
            right.standardise(k, mean: b, variance: variances.1)
        }
        guard !kept.isEmpty else { return nil }
        kept = Array(kept.prefix(Self.mostVariables))
        self.correlations = Array(correlations.prefix(Self.mostVariables))
        (self.left, self.right) = (left.keeping(kept, device: device), right.keeping(kept, device: device))
        let strong = self.correlations.prefix { $0 >= Self.leastWaveCorrelation }.count
        let isNarrow = max(training.x.shape[1], training.y.shape[1]) <= Self.mostWaveColumns
        waveVariables = isNarrow ? min(strong, Self.mostWaveVariables) : 0
    }

    /// Canonical variables of both sides, the most correlated first: as many as the smaller side has components.
    /// Collective.
    private static func canonicalVariables(
        _ rows: (x: Tensor, y: Tensor), ranks: any Ranks, device: Device
    ) throws -> (Variables, Variables) {
        func whitened(_ values: Tensor) throws -> (axes: PrincipalComponents, coordinates: Tensor) {
            let features = try Features(
                values: values, labels: Array(repeating: 0, count: values.shape[0]), classes: 1, ranks: ranks)
            let count = max(1, min(mostComponents, features.rows / rowsPerComponent))
            let axes = try PrincipalComponents(of: features, count: count, ranks: ranks, device: device)
            let coordinates = try axes.transform(features, device: device).values
            let scale = axes.variances.map { 1 / $0.squareRoot() }
            let zeros = [Float](repeating: 0, count: scale.count)
            coordinates.matrix.setAffine(of: coordinates.matrix, scale: scale, shift: zeros, rectified: false)
            return (axes, coordinates)
        }
        let (x, y) = (try whitened(rows.x), try whitened(rows.y))
        let cross = device.tensor([x.axes.variances.count, y.axes.variances.count])
        try multiply(x.coordinates.matrix.transposed, y.coordinates.matrix, into: cross.matrix)
        let sums = try ranks.sum(cross.elements.map { Double($0) })
        let count = Double(try ranks.sum([rows.x.shape[0]])[0])
        _ = cross.elements.update(fromContentsOf: sums.map { Float($0 / count) })
        // On rank 0 only: processors of two kinds could differ in the last bits, which rotate vectors of equal values.
        let found = try ranks.agree { ranks.isFirst ? try singularVectors(of: cross, device: device) : [] }
        let vectors = try ranks.gather(found, filler: 0)
        let size = cross.shape.reduce(0, +)
        let variables = vectors.count / max(size, 1)
        func turned(_ axes: PrincipalComponents, from start: Int, _ width: Int) throws -> Variables {
            let turn = device.tensor([variables, width])
            for k in 0..<variables {
                for c in 0..<width {
                    turn.matrix.row(k)[c] = vectors[k * size + start + c] / axes.variances[c].squareRoot()
                }
            }
            let map = device.tensor([variables, axes.mean.count])
            try multiply(turn.matrix, axes.directions.matrix, into: map.matrix)
            let shift = (0..<variables).map { k in
                -zip(axes.mean.indices, axes.mean).reduce(0) { $0 + map.matrix.row(k)[$1.0] * $1.1 }
            }
            return Variables(map: map, shift: shift)
        }
        let width = cross.shape[0]
        return (try turned(x.axes, from: 0, width), try turned(y.axes, from: width, cross.shape[1]))
    }

    /// Rows of a left and a right singular vector each, the largest singular values first.
    private static func singularVectors(of matrix: Tensor, device: Device) throws -> [Float] {
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        let isWide = rows <= columns
        let small = min(rows, columns)
        let square = device.tensor([small, small])
        let (first, second) =
            isWide ? (matrix.matrix, matrix.matrix.transposed) : (matrix.matrix.transposed, matrix.matrix)
        try multiply(first, second, into: square.matrix)
        let (values, vectors) = try leadingEigenvectors(of: square, count: small, device: device)
        let others = device.tensor([small, max(rows, columns)])
        try multiply(vectors.matrix, first, into: others.matrix)
        var result: [Float] = []
        for k in 0..<small where values[k] > leastSingularValue * leastSingularValue {
            let one = Array(UnsafeBufferPointer(start: vectors.matrix.row(k), count: small))
            let other = UnsafeBufferPointer(start: others.matrix.row(k), count: max(rows, columns))
                .map { $0 / values[k].squareRoot() }
            result += isWide ? one + other : other + one
        }
        return result
    }

    /// The factors of the scores: <left, right> + offset.
    struct Factors {
        let left: Tensor  // [n, r + 1]
        let right: Tensor  // [n, r + 1]
        let offset: Tensor  // [n, 1]
        /// Cosines, then sines, of ρa/σ and of b/σ with σ² = 1 - ρ², [n, 2·waves·variables] each; nil for no variables.
        /// Their products are waves of the remainder (b - ρa)/σ. With few weights, a critic learns the remainder's
        /// density from them where the Gaussian's doesn't fit.
        let waves: (left: Tensor, right: Tensor)?
    }

    /// The factors of these rows, [n, Dx] and [n, Dy].
    func factors(x: Matrix, y: Matrix, device: Device) throws -> Factors {
        let (a, b) = (try left(x, device: device), try right(y, device: device))
        let count = correlations.count
        let left = device.tensor([x.rows, count + 1])
        let right = device.tensor([y.rows, count + 1])
        let offset = device.tensor([y.rows, 1])
        let constant = correlations.reduce(0) { $0 - (1 - $1 * $1).logarithm / 2 }
        for row in 0..<x.rows {
            let (a, b) = (a.matrix.row(row), b.matrix.row(row))
            var (own, other) = (constant, 0.0)
            for (k, correlation) in correlations.enumerated() {
                let gain = correlation / (1 - correlation * correlation)
                own -= gain * correlation * Double(a[k]) * Double(a[k]) / 2
                other -= gain * correlation * Double(b[k]) * Double(b[k]) / 2
                left.matrix.row(row)[k] = Float(strength * gain) * a[k]
                right.matrix.row(row)[k] = b[k]
            }
            left.matrix.row(row)[count] = Float(strength * own)
            right.matrix.row(row)[count] = 1
            offset.base[row] = Float(strength * other)
        }
        return Factors(left: left, right: right, offset: offset, waves: waves(a, b, device: device))
    }

    private func waves(_ a: Tensor, _ b: Tensor, device: Device) -> (left: Tensor, right: Tensor)? {
        guard waveVariables > 0 else { return nil }
        let half = Self.waves * waveVariables
        func made(_ variables: Tensor, _ scale: (Double) -> Double) -> Tensor {
            let result = device.tensor([variables.shape[0], 2 * half])
            for row in 0..<variables.shape[0] {
                let target = result.matrix.row(row)
                for k in 0..<waveVariables {
                    let correlation = correlations[k]
                    let deviation = (1 - correlation * correlation).squareRoot()
                    let remainder = Double(variables.matrix.row(row)[k]) * scale(correlation) / deviation
                    let angle = 2 * Double.pi * remainder / Self.longestWave
                    // Each wave is the one before, turned by the angle: cosines and sines of all of them would make an
                    // estimate take a tenth longer.
                    let (cosine, sine) = (cos(angle), sin(angle))
                    var (x, y) = (1.0, 0.0)
                    for wave in 0..<Self.waves {
                        let column = k * Self.waves + wave
                        (x, y) = (x * cosine - y * sine, x * sine + y * cosine)
                        target[column] = Float(x)
                        target[half + column] = Float(y)
                    }
                }
            }
            return result
        }
        return (made(a) { $0 }, made(b) { _ in 1 })
    }
}

extension GaussianScore.Variables {
    /// Subtracts the mean of variable k and divides it by its deviation.
    fileprivate mutating func standardise(_ k: Int, mean: Double, variance: Double) {
        let scale = Float(1 / variance.squareRoot())
        for c in 0..<map.shape[1] { map.matrix.row(k)[c] *= scale }
        shift[k] = (shift[k] - Float(mean)) * scale
    }

    fileprivate func keeping(_ variables: [Int], device: Device) -> Self {
        Self(map: map.rows(variables, device: device), shift: variables.map { shift[$0] })
    }
}
