import Collectives

extension EncoderArchitecture {
    /// Convolutions of stride 2, and one fully connected layer.
    static func basic(kernel: Int, padding: Int, channels: [Int], local: Int) -> EncoderArchitecture {
        EncoderArchitecture(
            blocks: channels.map { EncoderBlock($0, kernel: kernel, stride: 2, padding: padding) }, local: local,
            fullyConnected: [1024])
    }

    /// AlexNet for 64x64 images. Its local map is 384 channels at 15x15.
    static var alex: EncoderArchitecture {
        EncoderArchitecture(
            blocks: [
                EncoderBlock(96, kernel: 3, stride: 1, padding: 1, pool: 3),
                EncoderBlock(192, kernel: 3, stride: 1, padding: 1, pool: 3),
                EncoderBlock(384, kernel: 3, stride: 1, padding: 1),
                EncoderBlock(384, kernel: 3, stride: 1, padding: 1),
                EncoderBlock(192, kernel: 3, stride: 1, padding: 1, pool: 3),
            ], local: 2, fullyConnected: [4096, 4096])
    }

    /// A net by rule. Blocks of 64, 128, 256, 512, 512, … channels halve the image until its longer side is at most 7:
    /// 4x4 convolutions of stride 2 (3x3 where a side is down to 1). The local map is the last whose longer side is at
    /// least 7, otherwise the first. An image that is so small at the start gets one 3x3 block that keeps its size. For
    /// 32x32 and 64x64 it gives the published nets.
    package init(fitting image: MapShape) {
        guard image.locations > 1 else {
            self.init(blocks: [], local: 0, fullyConnected: Self.vectorWidths)
            return
        }
        var blocks: [EncoderBlock] = []
        var sides = [image.height, image.width]
        var local = 0
        while sides.contains(where: { $0 > 7 }) {
            let kernel = sides.contains(1) ? 3 : 4
            sides = sides.map { ($0 + 2 - kernel) / 2 + 1 }
            if sides.contains(where: { $0 >= 7 }) { local = blocks.count }
            blocks.append(EncoderBlock(min(64 << min(blocks.count, 3), 512), kernel: kernel, stride: 2, padding: 1))
        }
        if blocks.isEmpty { blocks = [EncoderBlock(64, kernel: 3, stride: 1, padding: 1)] }
        self.init(blocks: blocks, local: local, fullyConnected: Self.imageWidths)
    }

    /// Default widths of fully connected layers after convolutions.
    static let imageWidths = [1024]
    /// Default widths of fully connected layers without convolutions.
    static let vectorWidths = [1024, 1024]
}
