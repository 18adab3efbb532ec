import Collectives

/// The encoder to train. `blocks` and `local` are for the kind `convolutional` only, `fullyConnected` for the kinds
/// `convolutional` and `fullyConnected`, `residual` and `fast` for the kinds of their names.
package struct EncoderSettings: SettingsTree {
    package var kind: EncoderKind = .automatic
    package var blocks: [EncoderBlock] = []
    /// The block whose output is the local feature map, from 0.
    package var local = 0
    /// Widths of the fully connected layers; empty for those of the kind.
    package var fullyConnected: [Int] = []
    package var residual = ResidualSettings()
    package var fast = FastSettings()
    /// K, width of the global vector; 0 for the features before it, without a last linear layer.
    package var code = 64

    package init() {}

    package init(code: Int) { self.code = code }

    package static let parts: [String: any SettingsTree.Type] = [
        "residual": ResidualSettings.self, "fast": FastSettings.self,
    ]
    package static let help = [
        "kind": "\(EncoderKind.expectation)",
        "blocks": "for kind convolutional: a list such as [{channels: 64, kernel: 4, stride: 2, padding: 1}]",
        "local": "for kind convolutional: the block whose output is the local feature map, from 0",
        "fullyConnected": "for kinds convolutional and fullyConnected: widths, such as [1024]",
        "code": "width of the global vector; 0 for the layer before it, without a last linear layer",
    ]
    package static let expectations = [
        "blocks": "a list of blocks, such as [{channels: 64, kernel: 4, stride: 2, padding: 1}]",
        "fullyConnected": "a list of whole numbers",
    ]
    package static let elements: [String: any Codable & Sendable] = ["blocks": EncoderBlock()]

    /// Throws `InputError` for values out of range for any images.
    package func check() throws {
        func require(_ range: ClosedRange<Int>, _ name: String, _ value: Int) throws {
            guard range.contains(value) else {
                throw InputError(
                    "encoder.\(name) is \(value): it must be \(range.lowerBound) to \(range.upperBound)")
            }
        }
        try require(0...65536, "code", code)
        try require(0...64, "blocks.count", blocks.count)
        for (index, block) in blocks.enumerated() {
            let name = "blocks[\(index)]"
            try require(1...65536, "\(name).channels", block.channels)
            try require(1...64, "\(name).kernel", block.kernel)
            try require(1...64, "\(name).stride", block.stride)
            try require(0...block.kernel - 1, "\(name).padding", block.padding)
            try require(0...64, "\(name).pool", block.pool)
            try require(1...64, "\(name).poolStride", block.poolStride)
        }
        try require(0...(blocks.isEmpty ? 63 : blocks.count - 1), "local", local)
        try require(0...16, "fullyConnected.count", fullyConnected.count)
        for (index, width) in fullyConnected.enumerated() {
            try require(1...65536, "fullyConnected[\(index)]", width)
        }
        try residual.check()
        try fast.check()
    }

    /// These settings with automatic ones replaced by their values, for images of this shape.
    /// - Throws: `InputError` where the kind is for other images, needs blocks that are missing, or takes none.
    package func resolved(for image: MapShape) throws -> EncoderSettings {
        try checkParts()
        var result = self
        switch kind {
        case .automatic:
            result.kind = .fitting(image)
            if result.kind.published == nil {
                let architecture = EncoderArchitecture(fitting: image)
                result.blocks = architecture.blocks
                result.local = architecture.local
                result.fullyConnected = architecture.fullyConnected
            }
        case .convolutional:
            if fullyConnected.isEmpty { result.fullyConnected = EncoderArchitecture.imageWidths }
        case .fullyConnected:
            if fullyConnected.isEmpty { result.fullyConnected = EncoderArchitecture.vectorWidths }
        case .basic28x28, .basic32x32, .basic64x64, .alex64x64:
            guard let side = kind.published?.side, (side, side) == (image.height, image.width) else {
                let fitting = EncoderKind.fitting(image)
                throw InputError(
                    "encoder.kind is \(kind.rawValue), but images are \(image.height)x\(image.width): use "
                        + (fitting.published == nil ? "automatic" : fitting.rawValue))
            }
        case .residual:
            try checkPixels(image)
            result.residual = residual.resolved(for: image)
        case .fast:
            try checkPixels(image)
            result.fast = fast.resolved(for: image)
        }
        return result
    }

    /// Throws `InputError` for images that are too small for the kind.
    private func checkPixels(_ image: MapShape) throws {
        guard min(image.height, image.width) < 2 else { return }
        throw InputError(
            "encoder.kind is \(kind.rawValue), but images are \(image.height)x\(image.width): it needs at least "
                + "2x2, so use automatic")
    }

    private func checkParts() throws {
        let isOwn = kind == .convolutional
        guard local == 0 || kind != .residual && kind != .fast else {
            throw InputError(
                "encoder.local is set, but encoder.kind is \(kind.rawValue): set encoder.\(kind.rawValue).local, which "
                    + "counts from 1")
        }
        guard isOwn || blocks.isEmpty && local == 0 else {
            throw InputError(
                "encoder.\(blocks.isEmpty ? "local" : "blocks") is set, but encoder.kind is \(kind.rawValue): it is "
                    + "only for encoder.kind=convolutional")
        }
        guard isOwn || kind == .fullyConnected || fullyConnected.isEmpty else {
            throw InputError(
                "encoder.fullyConnected is set, but encoder.kind is \(kind.rawValue): it is only for "
                    + "encoder.kind=convolutional or fullyConnected")
        }
        for (part, partKind, isSet) in [
            ("residual", EncoderKind.residual, residual != ResidualSettings()),
            ("fast", .fast, fast != FastSettings()),
        ] where isSet && kind != partKind {
            throw InputError(
                "encoder.\(part) is set, but encoder.kind is \(kind.rawValue): it is only for encoder.kind=\(part)")
        }
        guard !isOwn || !blocks.isEmpty else {
            throw InputError(
                "encoder.blocks is empty: encoder.kind=convolutional needs at least one, such as {channels: 64, "
                    + "kernel: 4, stride: 2, padding: 1}")
        }
    }

    /// The architecture for images of this shape, of any kind but `residual` and `fast`. Throws `InputError` as `resolved`
    /// does.
    func architecture(for image: MapShape) throws -> EncoderArchitecture {
        let settings = try resolved(for: image)
        return settings.kind.published?.architecture
            ?? EncoderArchitecture(
                blocks: settings.blocks, local: settings.local, fullyConnected: settings.fullyConnected)
    }

    /// These settings, with automatic ones set to the values of an earlier run.
    package func adopting(_ earlier: EncoderSettings) -> EncoderSettings {
        var result = self
        if kind == earlier.kind {
            result.residual = residual.adopting(earlier.residual)
            result.fast = fast.adopting(earlier.fast)
        }
        guard kind == .automatic else { return result }
        result.kind = earlier.kind
        if blocks.isEmpty { result.blocks = earlier.blocks }
        if local == 0 { result.local = earlier.local }
        if fullyConnected.isEmpty { result.fullyConnected = earlier.fullyConnected }
        return result
    }
}

extension EncoderSettings {
    /// Whether the encoder needs the covariance of patches of the images.
    package var needsPatchCovariance: Bool { kind == .fast && fast.whitening }
}
