import Collectives
import Tensors

/// A random window of an image, resized to the view. As torchvision's `RandomResizedCrop`.
package struct RandomCrop: SettingsTree {
    /// Area of the window as a fraction of the image's, uniform in least...most. A least of 1 is off.
    package var least = 1.0, most = 1.0
    /// Largest width / height, and height / width. The logarithm of the ratio is uniform.
    package var ratio = 4.0 / 3

    package init() {}

    package init(_ fraction: ClosedRange<Double>, ratio: Double = 4.0 / 3) {
        (least, most, self.ratio) = (fraction.lowerBound, fraction.upperBound, ratio)
    }

    package static let help = [
        "least": "least area of a random window, as a fraction of the image's, above 0; 1 is off",
        "most": "largest area of the window, at least the least and at most 1",
        "ratio": "largest ratio of the window's sides, 1 to 10; 1 is a square",
    ]

    var isOn: Bool { least < 1 }

    func check(_ name: String) throws {
        try require(least > 0 && least <= 1, "\(name).least", least, "above 0, and at most 1")
        try require(most > 0 && most <= 1, "\(name).most", most, "above 0, and at most 1")
        try require(!isOn || most >= least, "\(name).most", most, "\(name).least (\(least)) to 1")
        try require(ratio >= 1 && ratio <= 10, "\(name).ratio", ratio, "1 to 10")
    }

    /// A window of an image of this shape. Up to ten are drawn, because some don't fit; after that it is the largest in
    /// the middle with an allowed ratio.
    func draw(_ stream: inout RandomStream, of shape: ImageShape) -> PixelWindow {
        let (height, width) = (shape.height, shape.width)
        guard isOn else { return PixelWindow(top: 0, left: 0, height: height, width: width) }
        for _ in 0..<10 {
            let area = Double(height * width) * (least + (most - least) * Double(stream.uniform()))
            let drawn = (ratio.logarithm * (2 * Double(stream.uniform()) - 1)).exponential
            func side(_ square: Double) -> Int { Int(square.squareRoot().rounded(.toNearestOrEven)) }
            let (rows, columns) = (side(area / drawn), side(area * drawn))
            if (1...height).contains(rows) && (1...width).contains(columns) {
                let top = stream.index(below: height - rows + 1)
                return PixelWindow(
                    top: top, left: stream.index(below: width - columns + 1), height: rows, width: columns)
            }
        }
        func longest(_ short: Int) -> Int { Int((Double(short) * ratio).rounded(.toNearestOrEven)) }
        let (rows, columns) = (min(height, longest(width)), min(width, longest(height)))
        return PixelWindow(top: (height - rows) / 2, left: (width - columns) / 2, height: rows, width: columns)
    }
}

/// A blur by a Gaussian whose deviation is uniform in least...most.
package struct RandomBlur: SettingsTree {
    package var probability: ViewProbability = 0
    /// Standard deviation in pixels.
    package var least = 0.1, most = 2.0
    /// Pixels across, odd; 0 for a tenth of the view's shorter side, at least 3.
    package var size = 0
    /// Views whose shorter side is at most this many pixels are not blurred.
    package var above = 0

    package init() {}

    package static let help = [
        "probability": "probability of a Gaussian blur, 0 to 1; or a list, for views in turn",
        "least": "least standard deviation of the Gaussian, in pixels",
        "most": "largest standard deviation of the Gaussian, in pixels",
        "size": "pixels across, odd; 0 for a tenth of the view's shorter side, at least 3",
        "above": "views with a side of at most this many pixels are not blurred",
    ]
    package static let expectations = ["probability": ViewProbability.expectation]

    func check(_ name: String) throws {
        try probability.check("\(name).probability")
        try require(least > 0 && Float(least) > 0, "\(name).least", least, "above 0 pixels")
        try require(most >= least && most <= 1000, "\(name).most", most, "\(name).least (\(least)) to 1000 pixels")
        try require(
            size == 0 || (1...255).contains(size) && size % 2 == 1, "\(name).size", size, "0, or odd and 1 to 255")
        try require((0...4096).contains(above), "\(name).above", above, "0 to 4096 pixels")
    }

    /// Whether views with this shorter side may be blurred.
    func blurs(side: Int) -> Bool { probability.isPossible && side > above }

    /// Pixels from the centre to the end of the blur, in views with this shorter side.
    func radius(side: Int) -> Int { size > 0 ? size / 2 : max(1, side / 20) }

    /// A Gaussian's values at the pixels, which sum to 1, [2·radius + 1].
    static func weights(deviation: Float, radius: Int) -> [Float] {
        let raw = (-radius...radius).map { offset in
            let distance = Double(offset) / Double(deviation)
            return (-0.5 * distance * distance).exponential
        }
        let total = raw.reduce(0, +)
        return raw.map { Float($0 / total) }
    }
}

/// Values from a threshold on become 1 - v.
package struct RandomSolarise: SettingsTree {
    package var probability: ViewProbability = 0
    /// In 0...1.
    package var threshold = 0.5

    package init() {}

    package static let help = [
        "probability": "probability that bright values are inverted, 0 to 1; or a list, for views in turn",
        "threshold": "least value that is inverted, 0 to 1",
    ]
    package static let expectations = ["probability": ViewProbability.expectation]

    func check(_ name: String) throws {
        try probability.check("\(name).probability")
        try require(threshold >= 0 && threshold <= 1, "\(name).threshold", threshold, "0 to 1")
    }
}

/// A square that becomes the data's mean (DeVries & Taylor 2017). Its centre is anywhere in the view, so that a part of
/// it may lie outside.
package struct RandomCutout: SettingsTree {
    /// Pixels of the square's side; 0 is off.
    package var side = 0
    package var probability = 1.0

    package init() {}

    package static let help = [
        "side": "pixels of the side of a square that becomes the mean; 0 is off",
        "probability": "probability that there is such a square, 0 to 1",
    ]

    var isOn: Bool { side > 0 && probability > 0 }

    func check(_ name: String) throws {
        try require((0...ImageShape.longestSide).contains(side), "\(name).side", side, "0 to 4096 pixels")
        try require(probability >= 0 && probability <= 1, "\(name).probability", probability, "0 to 1")
    }
}

/// A probability, one for all views, or one each for the views in turn: with `[1, 0.1]` it is 1 for the first view,
/// the third, and so on.
package struct ViewProbability: ListSetting, ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral,
    CustomStringConvertible
{
    /// At least one, as `check` sees to.
    package let values: [Double]

    package init(_ values: [Double]) { self.values = values }

    package init(floatLiteral value: Double) { self.init([value]) }
    package init(integerLiteral value: Int) { self.init([Double(value)]) }

    static let expectation = "a number from 0 to 1, or a list of one for each view in turn"

    /// - Parameter view: index of the view, from 0.
    subscript(view: Int) -> Double { values[view % values.count] }

    /// Whether it is above 0 for any view.
    var isPossible: Bool { values.contains { $0 > 0 } }

    package var description: String { values.count == 1 ? "\(values[0])" : "\(values)" }

    func check(_ name: String) throws {
        try require(!values.isEmpty && values.allSatisfy { $0 >= 0 && $0 <= 1 }, name, self, Self.expectation)
        try require(values.count <= 1024, name, "a list of \(values.count)", "a list of at most 1024")
    }
}
