import Collectives
import Foundation
import Tensors

/// The best speeds of this machine, measured with all ranks at work. The pieces of a step are compared with them.
struct MachinePeak {
    /// A rank's floating-point operations per second in a product of 1024x1024 matrices, in 10^9, in the device's
    /// precision.
    let gigaflops: Double
    /// The same in float32.
    let float32Gigaflops: Double
    /// Bytes per second that a rank's a = b + s·c moves in arrays larger than the caches, in 10^9. Written bytes count
    /// once.
    let gigabytes: Double
    /// Time of the matrix product.
    let milliseconds: Double

    /// Collective. Takes about a second.
    init(device: Device, ranks: any Ranks) throws {
        try ranks.barrier()
        gigaflops = try device.measureProducts()
        float32Gigaflops =
            device.precision == .float32 ? gigaflops : try Device(threads: device.threads).measureProducts()
        milliseconds = 2 * 0x1p30 / gigaflops / 1e6
        let count = 1 << 23
        let arrays = (0..<3).map { device.tensor([count], filledWith: Float($0)) }
        try ranks.barrier()
        let times = (0..<6).map { _ in
            let start = ContinuousClock.now
            arrays[0].setToSum(of: arrays[1], arrays[2], times: 0.5)
            return start.duration(to: .now) / .seconds(1)
        }
        gigabytes = Double(3 * 4 * count) / (times.min() ?? .infinity) / 1e9
    }

    /// Seconds that this many operations take at best.
    func seconds(_ work: Timeline.Work) -> Double {
        (Double(work.operations - work.float32Operations) / gigaflops
            + Double(work.float32Operations) / float32Gigaflops) / 1e9
    }
}
