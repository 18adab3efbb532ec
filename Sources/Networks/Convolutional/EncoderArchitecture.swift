import Collectives

/// A convolution without bias, batch norm, ReLU, and a max pool if `pool` isn't 0.
package struct EncoderBlock: Codable, Equatable, Sendable {
    /// Output channels; there is no default.
    package var channels = 0
    /// Side of the square kernel, in pixels. The other sizes are in pixels too.
    package var kernel = 4
    package var stride = 2
    package var padding = 1
    /// Side of the max pool's window; 0 for no pool.
    package var pool = 0
    package var poolStride = 2

    package init() {}

    package init(_ channels: Int, kernel: Int, stride: Int, padding: Int, pool: Int = 0) {
        self.channels = channels
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.pool = pool
    }
}

/// The architecture of an encoder, independent of the images: blocks of convolution, then fully connected layers (each
/// linear, batch norm, ReLU), then a linear code.
///
/// Without blocks the images are flattened, and the first fully connected layer counts as a map of one location.
package struct EncoderArchitecture: Equatable, Sendable {
    package var blocks: [EncoderBlock]
    /// The block whose output is the local feature map, from 0.
    package var local: Int
    /// Widths of the fully connected layers, at least one.
    package var fullyConnected: [Int]

    package init(blocks: [EncoderBlock], local: Int, fullyConnected: [Int]) {
        self.blocks = blocks
        self.local = local
        self.fullyConnected = fullyConnected
    }

    /// Shapes of the blocks' outputs, in order; without blocks, the one map that stands for the first layer.
    /// - Throws: `InputError` when a kernel or a window is larger than its map.
    package func maps(of image: MapShape) throws -> [MapShape] {
        guard !blocks.isEmpty else { return [MapShape(height: 1, width: 1, channels: fullyConnected[0])] }
        var map = image
        return try blocks.enumerated().map { index, block in
            map = try output(of: block, index: index, on: map, window: block.kernel, block.stride, block.padding)
            if block.pool > 0 {
                map = try output(of: block, index: index, on: map, window: block.pool, block.poolStride, 0)
            }
            return map
        }
    }

    private func output(
        of block: EncoderBlock, index: Int, on map: MapShape, window: Int, _ stride: Int, _ padding: Int
    ) throws -> MapShape {
        let (height, width) = (map.height + 2 * padding, map.width + 2 * padding)
        guard window <= min(height, width) else {
            throw InputError(
                "encoder.blocks[\(index)]: its window of \(window)x\(window) is larger than its map of "
                    + "\(map.height)x\(map.width)" + (padding > 0 ? ", \(height)x\(width) with padding" : "")
                    + ": use a smaller window, or fewer or smaller strides before it")
        }
        return MapShape(
            height: (height - window) / stride + 1, width: (width - window) / stride + 1, channels: block.channels)
    }

    /// Number of trained parameters of an encoder for these images.
    /// - Parameters:
    ///   - code: K, width of the code.
    ///   - codeBias: whether the code has a bias.
    /// - Throws: `InputError` where the images are too small for a block, or there are more than `ImageEncoder.mostParameters`.
    package func parameterCount(of image: MapShape, code: Int, codeBias: Bool) throws -> Int {
        let maps = try maps(of: image)
        let flat = blocks.isEmpty ? image : maps[maps.count - 1]
        var count = 0.0  // exact up to 2^53, and no product overflows
        var inputs = Double(image.channels)
        for block in blocks {
            count += Double(block.channels) * (inputs * Double(block.kernel * block.kernel) + 2)
            inputs = Double(block.channels)
        }
        inputs = Double(flat.locations) * Double(flat.channels)
        for width in fullyConnected {
            count += Double(width) * (inputs + 2)
            inputs = Double(width)
        }
        count += Double(code) * (inputs + (codeBias ? 1 : 0))
        guard count <= Double(ImageEncoder.mostParameters) else {
            throw InputError(
                "the encoder would have \(Int(min(count, 0x1p62))) parameters, more than \(ImageEncoder.mostParameters): the "
                    + "input of its first fully connected layer is \(flat.height)x\(flat.width)x\(flat.channels), so "
                    + "make that smaller by blocks of stride 2, or make encoder.fullyConnected narrower")
        }
        return Int(count)
    }
}
