import Collectives
import Tensors

/// Random brightness, contrast, saturation and hue, drawn uniformly: with strength s a factor from 1 - s to 1 + s, and
/// for hue a turn from -hue to hue.
package struct ColourJitter: SettingsTree {
    /// In 0...1.
    package var brightness = 0.0, contrast = 0.0, saturation = 0.0
    /// In 0...1/2, as a fraction of the colour circle.
    package var hue = 0.0
    /// Probability that an image is changed.
    package var probability = 1.0

    package init() {}

    package static let help = [
        "brightness": "strength of a random factor, 0 to 1",
        "contrast": "strength of a random factor, 0 to 1",
        "saturation": "strength of a random factor, 0 to 1",
        "hue": "largest turn, as a fraction of the colour circle, 0 to 0.5",
        "probability": "probability that an image is changed, 0 to 1",
    ]

    /// Whether it changes more than brightness and contrast, which images of any channels have.
    var turnsColours: Bool { probability > 0 && max(saturation, hue) > 0 }

    var changesColours: Bool { probability > 0 && max(brightness, contrast, saturation, hue) > 0 }

    /// Draws one change. All numbers are drawn at any strengths.
    func draw(_ stream: inout RandomStream, greyscale: Double) -> ColourChange {
        func uniform() -> Double { Double(stream.uniform()) }
        let isChanged = uniform() < probability
        func factor(_ strength: Double) -> Float {
            let drawn = 1 + strength * (2 * uniform() - 1)
            return Float(isChanged ? drawn : 1)
        }
        let (brightness, contrast, saturation) = (factor(brightness), factor(contrast), factor(saturation))
        let turn = hue * (2 * uniform() - 1)
        let isGrey = uniform() < greyscale
        return ColourChange(
            brightness: brightness, contrast: contrast, saturation: isGrey ? 0 : saturation,
            turn: Float(isChanged ? turn : 0))
    }
}

/// A change of an image's colours, one affine map of (red, green, blue). It is brightness, then contrast around the
/// image's mean luma, then saturation around each pixel's luma, then a turn of hue in the plane of equal luma (YIQ).
/// Values are clipped to 0...1 at the end.
struct ColourChange: Equatable {
    var brightness: Float
    var contrast: Float
    /// Factor of saturation; 0 gives grey.
    var saturation: Float
    /// Turn of hue, in whole turns.
    var turn: Float

    var isIdentity: Bool { (brightness, contrast, saturation, turn) == (1, 1, 1, 0) }

    /// Weights of red, green and blue in luma (ITU-R BT.601).
    static let luma = SIMD3<Float>(0.299, 0.587, 0.114)

    /// The map: the images of red, green and blue as columns, and an offset of all three.
    /// - Parameter mean: the image's luma, in 0...1.
    func map(mean: Float) -> (columns: [SIMD3<Float>], offset: Float) {
        // Rows of RGB to YIQ, and columns back.
        let inPhase = SIMD3<Float>(0.595_716, -0.274_453, -0.321_263)
        let quadrature = SIMD3<Float>(0.211_456, -0.522_591, 0.311_135)
        let (fromInPhase, fromQuadrature) = (
            SIMD3<Float>(0.956_3, -0.272_1, -1.107), SIMD3<Float>(0.621, -0.647_4, 1.704_6)
        )
        let angle = 2 * Double.pi * Double(turn)
        let (cosine, sine) = (Float(Double.cosine(angle)), Float(Double.cosine(angle - Double.pi / 2)))
        let gain = brightness * contrast
        let columns = (0..<3).map { channel -> SIMD3<Float> in
            let (i, q) = (inPhase[channel], quadrature[channel])
            let turned =
                turn == 0
                ? Self.unit(channel) - Self.luma[channel]
                : fromInPhase * (cosine * i - sine * q) + fromQuadrature * (sine * i + cosine * q)
            return gain * (Self.luma[channel] + saturation * turned)
        }
        return (columns, (1 - contrast) * brightness * mean)
    }

    private static func unit(_ channel: Int) -> SIMD3<Float> {
        var result = SIMD3<Float>(repeating: 0)
        result[channel] = 1
        return result
    }
}

/// A conversion of red, green and blue bytes by a change of colours and normalisation.
struct ColourConversion: PixelConversion {
    private let red, green, blue, offset, scale, shift: SIMD4<Float>

    /// - Parameter image: `[pixels, 3]`; its mean luma is the centre of contrast.
    init(_ change: ColourChange, image: UnsafePointer<UInt8>, pixels: Int, normalisation: Normalisation) {
        var sums = SIMD3<Int>(repeating: 0)
        for pixel in 0..<pixels {
            for channel in 0..<3 { sums[channel] &+= Int(image[3 &* pixel &+ channel]) }
        }
        let average = SIMD3<Float>(Float(sums.x), Float(sums.y), Float(sums.z)) / Float(max(pixels, 1)) / 255
        let map = change.map(mean: (ColourChange.luma * average).sum())
        func widened(_ column: SIMD3<Float>) -> SIMD4<Float> { SIMD4(column, 0) }
        (red, green, blue) = (
            widened(map.columns[0] / 255), widened(map.columns[1] / 255), widened(map.columns[2] / 255)
        )
        offset = SIMD4(repeating: map.offset)
        let (mean, deviation) = normalisation.floats()
        let (means, deviations) = (SIMD3(mean[0], mean[1], mean[2]), SIMD3(deviation[0], deviation[1], deviation[2]))
        scale = widened(1 / deviations)
        shift = widened(-means / deviations)
    }

    func convert(_ first: UnsafePointer<UInt8>, step: Int, pixels: Int, into result: UnsafeMutablePointer<Float>) {
        var source = first
        var target = result
        for _ in 0..<pixels {
            let mixed = red * Float(source[0]) + green * Float(source[1]) + blue * Float(source[2]) + offset
            let value = mixed.clamped(lowerBound: SIMD4(repeating: 0), upperBound: SIMD4(repeating: 1)) * scale + shift
            target[0] = value.x
            target[1] = value.y
            target[2] = value.z
            source += step
            target += 3
        }
    }
}
