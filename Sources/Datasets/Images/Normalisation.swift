import Collectives
import Tensors

/// Normalisation of a pixel value v by channel: (v/255 - mean) / deviation for a byte, (v - mean) / deviation for a
/// float.
package struct Normalisation: Codable, Equatable, Sendable {
    /// Mean; for bytes on the scale of 0...1.
    package let mean: [Double]
    /// Standard deviation over all pixels (divided by their number); 1 for a constant channel.
    package let deviation: [Double]

    package init(mean: [Double], deviation: [Double]) {
        self.mean = mean
        self.deviation = deviation
    }

    /// Equal in the digits of Float, because earlier checkpoints kept no more.
    package static func == (a: Normalisation, b: Normalisation) -> Bool { a.floats() == b.floats() }

    /// Mean and deviation in Float.
    /// - Parameter scale: shift and unit of the values to normalise; the result is for values in that form.
    func floats(of scale: ColumnScale? = nil) -> (mean: [Float], deviation: [Float]) {
        guard let scale else { return (mean.map { Float($0) }, deviation.map { Float($0) }) }
        return (
            mean.indices.map { Float((mean[$0] - scale.centre[$0]) / scale.unit[$0]) },
            deviation.indices.map { max(Float(deviation[$0] / scale.unit[$0]), .leastNormalMagnitude) }
        )
    }

    /// The originals of normalised pixels, [..., channels]: bytes on the scale of 0...1. Values outside 0...1, by
    /// rounding or otherwise, are clipped.
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

    /// Throws when the normalisation doesn't fit the number of channels. For one that comes from a file.
    package func check(channels: Int) throws {
        guard mean.count == channels, deviation.count == channels else {
            throw InputError(
                "normalisation has \(mean.count) means and \(deviation.count) deviations, expected \(channels) of "
                    + "each, one for each channel")
        }
        guard mean.allSatisfy(\.isFinite), deviation.allSatisfy({ $0.isFinite && $0 > 0 }) else {
            throw InputError(
                "normalisation has means \(mean) and deviations \(deviation), expected finite means and "
                    + "deviations above 0")
        }
    }

    /// `[channels, 256]`: the normalised value of each byte.
    func table() -> [Float] {
        let (means, deviations) = floats()
        return zip(means, deviations).flatMap { mean, deviation in
            (0..<256).map { (Float($0) / 255 - mean) / deviation }
        }
    }
}
