import Collectives
import Tensors

/// What a pixel value v becomes: (v/255 - mean) / deviation for a byte, (v - mean) / deviation for a float, by channel.
package struct Normalisation: Codable, Equatable, Sendable {
    /// Of bytes on the scale of 0...1.
    package let mean: [Double]
    /// Standard deviation over all pixels (divided by their number); 1 for a constant channel.
    package let deviation: [Double]

    package init(mean: [Double], deviation: [Double]) {
        self.mean = mean
        self.deviation = deviation
    }

    /// To the digits of Float, which is all that earlier checkpoints kept.
    package static func == (a: Normalisation, b: Normalisation) -> Bool { a.floats() == b.floats() }

    /// Mean and deviation in Float.
    /// - Parameter scale: what values come shifted and divided by; the result is then for those.
    func floats(of scale: ColumnScale? = nil) -> (mean: [Float], deviation: [Float]) {
        guard let scale else { return (mean.map { Float($0) }, deviation.map { Float($0) }) }
        return (
            mean.indices.map { Float((mean[$0] - scale.centre[$0]) / scale.unit[$0]) },
            deviation.indices.map { max(Float(deviation[$0] / scale.unit[$0]), .leastNormalMagnitude) }
        )
    }

    /// What normalised pixels, [..., channels], were made of: bytes on the scale of 0...1. What lies outside of that, by
    /// rounding or otherwise, is set to the nearest.
    package func undone(_ pixels: Tensor, device: Device) -> Tensor {
        let channels = mean.count
        let (mean, deviation) = floats()
        let result = device.tensor(pixels.shape)
        for start in stride(from: 0, to: pixels.count, by: channels) {
            for c in 0..<channels {
                result.base[start + c] = min(max(pixels.base[start + c] * deviation[c] + mean[c], 0), 1)
            }
        }
        return result
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
        let (means, deviations) = floats()
        return zip(means, deviations).flatMap { mean, deviation in
            (0..<256).map { (Float($0) / 255 - mean) / deviation }
        }
    }
}
