import Collectives
import Tensors

/// Mean and standard deviation of each dimension over all ranks' rows.
package struct Standardisation {
    package let mean: [Float]
    /// Root of the biased variance; 1 where the dimension is constant.
    package let deviation: [Float]
    /// Whether every dimension is constant.
    let isConstant: Bool

    /// Whether each dimension is constant.
    let constants: [Bool]

    /// A deviation smaller than this times the mean counts as rounding, not variation.
    private static let smallestRelativeDeviation = 1e-6

    /// Collective. `features` must have at least one row.
    package init(of features: Features, ranks: any Ranks, device: Device) throws {
        try self.init(of: features.values, ownRows: Array(0..<features.shares.own), ranks: ranks, device: device)
    }

    /// Collective. Of some of this rank's rows [rows, dimension]; at least one over all ranks.
    init(of values: Tensor, ownRows: [Int], ranks: any Ranks, device: Device) throws {
        let dimension = values.shape[1]
        let count = Double(try ranks.sum([ownRows.count])[0])
        func moments(_ shift: [Float]) throws -> [Double] {
            let ones = [Float](repeating: 1, count: dimension)
            var moments = [Double](repeating: 0, count: 2 * dimension)
            for start in stride(from: 0, to: ownRows.count, by: 1024) {
                let block = values.rows(Array(ownRows[start..<min(start + 1024, ownRows.count)]), device: device)
                block.matrix.setAffine(of: block.matrix, scale: ones, shift: shift, rectified: false)
                for (i, moment) in block.matrix.channelMoments().enumerated() { moments[i] += moment }
            }
            return try ranks.sum(moments)
        }
        let mean = try moments(Array(repeating: 0, count: dimension)).prefix(dimension).map { Float($0 / count) }
        // Squares of centred values, so that a large mean doesn't cancel them away.
        let centred = try moments(mean.map { -$0 })
        let deviations = (0..<dimension).map { c -> Float? in
            let residual = centred[c] / count
            let deviation = max(centred[dimension + c] / count - residual * residual, 0).squareRoot()
            return deviation <= Self.smallestRelativeDeviation * Double(abs(mean[c])) ? nil : Float(deviation)
        }
        self.mean = mean
        deviation = deviations.map { $0 ?? 1 }
        constants = deviations.map { $0 == nil }
        isConstant = constants.allSatisfy { $0 }
    }

    private init(mean: [Float], deviation: [Float], constants: [Bool]) {
        (self.mean, self.deviation, self.constants) = (mean, deviation, constants)
        isConstant = constants.allSatisfy { $0 }
    }

    /// The same standardisation, except that it leaves some dimensions as they are.
    func leaving(_ dimensions: [Int]) -> Standardisation {
        var (mean, deviation) = (mean, deviation)
        for c in dimensions { (mean[c], deviation[c]) = (0, 1) }
        return Standardisation(mean: mean, deviation: deviation, constants: constants)
    }

    /// Writes (x - mean)/deviation by dimension to `result`, which may be x itself.
    package func apply(to x: Matrix, into result: Matrix) {
        result.setAffine(
            of: x, scale: deviation.map { 1 / $0 }, shift: zip(mean, deviation).map { -$0 / $1 }, rectified: false)
    }
}
