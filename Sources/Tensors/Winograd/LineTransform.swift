/// Transforms of squares of vectors of channels, which are one linear map along rows and then along columns.
protocol LineTransform {
    /// Vectors along a side of the square, before and after.
    static var inputs: Int { get }
    static var outputs: Int { get }
    /// The map of a line.
    static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void)
}

/// Channels that pass at once.
typealias Lanes = SIMD8<Float>

/// Transforms of F(m, 3): from m + 2 inputs and 3 taps the m outputs of their correlation, by m + 2 products (Winograd 1980;
/// Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks", equation 8):
///
///     y = Aᵀ((G·g)·(Bᵀ·d))
///
/// The m + 2 numbers are values of polynomials, at as many points.
protocol WinogradTile {
    /// m, outputs along a side.
    static var side: Int { get }
    associatedtype Input: LineTransform
    associatedtype Output: LineTransform
    associatedtype Filter: LineTransform
    associatedtype InputGradient: LineTransform
    associatedtype OutputGradient: LineTransform
    associatedtype FilterGradient: LineTransform
}

extension WinogradTile {
    /// Products of an input by a filter, along both sides.
    static var points: Int { (side + 2) * (side + 2) }

    /// Products for all outputs of an image. Tiles that reach over the edge cost as much as others.
    static func products(height: Int, width: Int) -> Int {
        points * ((height + side - 1) / side) * ((width + side - 1) / side)
    }
}

extension LineTransform {
    /// Transforms squares of `inputs` x `inputs` vectors of channels to `outputs` x `outputs`, along rows, then columns.
    /// - Parameters:
    ///   - memory: with the first `inputs`² sources and `outputs`² targets set.
    ///   - channels: a multiple of the number of lanes.
    ///   - adding: whether to add to the targets.
    @inline(__always)
    static func transform(_ memory: TransformMemory, channels: Int, adding: Bool) {
        var channel = 0
        while channel < channels {
            for row in 0..<inputs {
                apply(
                    { UnsafeRawPointer(memory.sources[row * inputs + $0] + channel).loadUnaligned(as: Lanes.self) },
                    { memory.square[row * outputs + $0] = $1 })
            }
            for column in 0..<outputs {
                apply(
                    { memory.square[$0 * outputs + column] },
                    { index, value in
                        let target = UnsafeMutableRawPointer(memory.targets[index * outputs + column] + channel)
                        let sum = adding ? target.loadUnaligned(as: Lanes.self) + value : value
                        target.storeBytes(of: sum, as: Lanes.self)
                    })
            }
            channel += Lanes.scalarCount
        }
    }
}

/// The memory of one thread for transforms.
struct TransformMemory {
    /// Addresses of vectors of channels.
    let sources: UnsafeMutablePointer<UnsafePointer<Float>>
    let targets: UnsafeMutablePointer<UnsafeMutablePointer<Float>>
    let square: UnsafeMutablePointer<Lanes>
    /// A source of zeros, and a target that nobody reads.
    let zeros: UnsafePointer<Float>
    let unused: UnsafeMutablePointer<Float>

    static func with(channels: Int, _ body: (TransformMemory) -> Void) {
        let most = Tile4.points
        withUnsafeTemporaryAllocation(of: Lanes.self, capacity: most) { square in
            withUnsafeTemporaryAllocation(of: UnsafeMutablePointer<Float>.self, capacity: 2 * most) { addresses in
                withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * channels) { floats in
                    floats.initialize(repeating: 0)
                    let (addresses, floats) = (addresses.baseAddress!, floats.baseAddress!)
                    body(
                        TransformMemory(
                            sources: UnsafeMutableRawPointer(addresses).assumingMemoryBound(
                                to: UnsafePointer<Float>.self),
                            targets: addresses + most, square: square.baseAddress!, zeros: floats,
                            unused: floats + channels))
                }
            }
        }
    }
}
