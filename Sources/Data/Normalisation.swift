import Collectives

/// What a pixel value v becomes: (v/255 - mean) / deviation, by channel.
package struct Normalisation: Codable, Equatable, Sendable {
    /// On the scale of 0...1.
    package let mean: [Float]
    /// Standard deviation over all pixels (divided by their number), on the scale of 0...1; 1 for a constant channel.
    package let deviation: [Float]

    package init(mean: [Float], deviation: [Float]) {
        self.mean = mean
        self.deviation = deviation
    }

    /// Of the whole data set, of which each rank holds a part. Collective: outside `ranks.agree { }`.
    ///
    /// The same bits at any world size: ranks add up how often each value occurs, whole numbers that Double holds
    /// exactly up to 2^53 (9 petabytes a channel), and all else follows from the totals.
    package init(of dataset: ImageDataset, over ranks: any Ranks) throws {
        self.init(valueCounts: try ranks.sum(dataset.valueCounts()))
    }

    /// - Parameter valueCounts: `[channels, 256]`, how often each value occurs; at least one in each channel.
    init(valueCounts: [Int]) {
        var mean: [Float] = []
        var deviation: [Float] = []
        for start in stride(from: 0, to: valueCounts.count, by: 256) {
            let counts = valueCounts[start..<start + 256].map(Double.init)
            let total = counts.reduce(0, +)
            var centre = 0.0
            for (value, count) in counts.enumerated() { centre += count * Double(value) }
            centre /= total
            var variance = 0.0
            for (value, count) in counts.enumerated() {
                let distance = Double(value) - centre
                variance += count * distance * distance
            }
            variance /= total
            let isConstant = counts.count { $0 > 0 } == 1
            mean.append(Float(centre / 255))
            deviation.append(isConstant ? 1 : Float(variance.squareRoot() / 255))
        }
        self.init(mean: mean, deviation: deviation)
    }

    /// Throws when it isn't one for images of so many channels. For one that comes from a file.
    package func check(channels: Int) throws {
        guard mean.count == channels, deviation.count == channels else {
            throw InputError(
                "normalisation has \(mean.count) means and \(deviation.count) deviations, expected \(channels) of each, "
                    + "one a channel")
        }
        guard mean.allSatisfy(\.isFinite), deviation.allSatisfy({ $0.isFinite && $0 > 0 }) else {
            throw InputError("normalisation by \(mean) and \(deviation), expected finite means and deviations above 0")
        }
    }

    /// `[channels, 256]`, what each pixel value becomes.
    func table() -> [Float] {
        zip(mean, deviation).flatMap { mean, deviation in
            (0..<256).map { (Float($0) / 255 - mean) / deviation }
        }
    }
}
