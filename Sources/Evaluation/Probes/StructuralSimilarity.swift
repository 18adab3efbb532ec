import Collectives
import Tensors

/// Multi-scale structural similarity of two images (Wang, Simoncelli & Bovik 2003, eq. 7): 1 for equal ones.
///
/// The index is a product over scales of the mean contrast-and-structure term, each to the power of its weight. At the
/// coarsest scale the term includes luminance. Windows are 11x11 Gaussians of deviation 1.5 that lie within the image.
/// From scale to scale images are averaged over 2x2 pixels. A term below 0 counts as 0. Channels are compared
/// separately, then averaged.
///
/// Five scales need images of 176 pixels. Smaller images have as many scales as fit, with the first weights divided by
/// their sum. Values over different numbers of scales can't be compared.
package struct StructuralSimilarity {
    package let height: Int
    package let width: Int
    package let channels: Int
    /// Number of scales that fit, 1 to 5.
    package let scales: Int
    /// Largest minus smallest value that a pixel can have.
    private let range: Double

    private static let weights = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    /// Weights of a window's row, which sum to 1; a window is their outer product.
    private static let window: [Double] = {
        let raw = (-5...5).map { (-Double($0 * $0) / (2 * 1.5 * 1.5)).exponential }
        return raw.map { $0 / raw.reduce(0, +) }
    }()

    /// For images [height, width, channels].
    /// - Throws: `InputError` for images smaller than a window.
    package init(height: Int, width: Int, channels: Int, range: Double) throws {
        let side = min(height, width)
        guard side >= Self.window.count else {
            throw InputError(
                "images of \(height)x\(width) are too small: structural similarity needs at least "
                    + "\(Self.window.count) pixels each way"
            )
        }
        self.height = height
        self.width = width
        self.channels = channels
        self.range = range
        scales = (1...Self.weights.count).last { side >> ($0 - 1) >= Self.window.count } ?? 1
    }

    /// The index of two images, in 0...1.
    package func callAsFunction(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>) -> Double {
        (0..<channels).reduce(0) { sum, channel in
            sum + index(plane(x, channel: channel), plane(y, channel: channel))
        } / Double(channels)
    }

    private func plane(_ image: UnsafePointer<Float>, channel: Int) -> Plane {
        Plane(
            height: height, width: width,
            values: (0..<height * width).map { Double(image[$0 * channels + channel]) })
    }

    private func index(_ first: Plane, _ second: Plane) -> Double {
        var (x, y) = (first, second)
        let weights = Self.weights.prefix(scales)
        var result = 1.0
        for (scale, weight) in weights.enumerated() {
            let terms = similarity(x, y)
            let term = scale == scales - 1 ? terms.whole : terms.contrast
            result *= max(term, 0).raised(to: weight / weights.reduce(0, +))
            (x, y) = (x.halved, y.halved)
        }
        return result
    }

    /// Means over windows of the contrast-and-structure term, (2σxy + C₂)/(σx² + σy² + C₂), and of its product with the
    /// luminance term, (2μxμy + C₁)/(μx² + μy² + C₁).
    private func similarity(_ x: Plane, _ y: Plane) -> (contrast: Double, whole: Double) {
        let (c1, c2) = (0.01 * 0.01 * range * range, 0.03 * 0.03 * range * range)
        let meanX = x.filtered(by: Self.window).values
        let meanY = y.filtered(by: Self.window).values
        let squareX = x.times(x).filtered(by: Self.window).values
        let squareY = y.times(y).filtered(by: Self.window).values
        let product = x.times(y).filtered(by: Self.window).values
        var (contrast, whole) = (0.0, 0.0)
        for i in meanX.indices {
            let (a, b) = (meanX[i], meanY[i])
            let variances = squareX[i] - a * a + squareY[i] - b * b
            let term = (2 * (product[i] - a * b) + c2) / (variances + c2)
            contrast += term
            whole += term * (2 * a * b + c1) / (a * a + b * b + c1)
        }
        return (contrast / Double(meanX.count), whole / Double(meanX.count))
    }
}

/// One channel of an image.
private struct Plane {
    let height: Int
    let width: Int
    var values: [Double]

    func times(_ other: Plane) -> Plane {
        Plane(height: height, width: width, values: zip(values, other.values).map { $0 * $1 })
    }

    /// Means over 2x2 pixels; an odd last row or column is left out.
    var halved: Plane {
        var result = Plane(height: height / 2, width: width / 2, values: [])
        result.values.reserveCapacity(result.height * result.width)
        for r in 0..<result.height {
            for c in 0..<result.width {
                let i = 2 * r * width + 2 * c
                result.values.append((values[i] + values[i + 1] + values[i + width] + values[i + width + 1]) / 4)
            }
        }
        return result
    }

    /// Sums over windows that lie within the plane, weighted by the outer product of `window` with itself.
    func filtered(by window: [Double]) -> Plane {
        let (rows, columns) = (height - window.count + 1, width - window.count + 1)
        var across = [Double](repeating: 0, count: height * columns)
        for r in 0..<height {
            for (k, weight) in window.enumerated() {
                for c in 0..<columns { across[r * columns + c] += weight * values[r * width + k + c] }
            }
        }
        var result = [Double](repeating: 0, count: rows * columns)
        for r in 0..<rows {
            for (k, weight) in window.enumerated() {
                for c in 0..<columns { result[r * columns + c] += weight * across[(r + k) * columns + c] }
            }
        }
        return Plane(height: rows, width: columns, values: result)
    }
}
