/// A conversion of a pixel's stored values into normalised ones.
protocol PixelConversion {
    associatedtype Stored: BitwiseCopyable

    /// Converts pixels that lie `step` values apart.
    func convert(_ first: UnsafePointer<Stored>, step: Int, pixels: Int, into result: UnsafeMutablePointer<Float>)
}

/// A conversion of bytes by a table.
struct ByteConversion: PixelConversion {
    /// `[channels, 256]`: the normalised value of each byte.
    let table: UnsafePointer<Float>
    let channels: Int

    /// One and three channels, the common cases, have no inner loop.
    func convert(_ first: UnsafePointer<UInt8>, step: Int, pixels: Int, into result: UnsafeMutablePointer<Float>) {
        var source = first
        var target = result
        switch channels {
        case 1:
            for _ in 0..<pixels {
                target[0] = table[Int(source[0])]
                source += step
                target += 1
            }
        case 3:
            for _ in 0..<pixels {
                target[0] = table[Int(source[0])]
                target[1] = table[256 + Int(source[1])]
                target[2] = table[512 + Int(source[2])]
                source += step
                target += 3
            }
        default:
            for _ in 0..<pixels {
                for channel in 0..<channels { target[channel] = table[256 &* channel &+ Int(source[channel])] }
                source += step
                target += channels
            }
        }
    }
}

/// (v - mean) / deviation, by channel.
struct FloatConversion: PixelConversion {
    let mean: UnsafePointer<Float>
    let deviation: UnsafePointer<Float>
    let channels: Int

    func convert(_ first: UnsafePointer<Float>, step: Int, pixels: Int, into result: UnsafeMutablePointer<Float>) {
        var source = first
        var target = result
        for _ in 0..<pixels {
            for channel in 0..<channels { target[channel] = (source[channel] - mean[channel]) / deviation[channel] }
            source += step
            target += channels
        }
    }
}
