import Autodiff

/// The part of an encoder before its code: from images to maps, of which it pools or computes features.
protocol Backbone: CustomStringConvertible {
    /// Shape of the local feature map, for images of the size that it was made for.
    var localMap: MapShape { get }
    /// Width of the features.
    var width: Int { get }
    /// Whether images of other heights and widths may pass.
    var takesAnySize: Bool { get }

    /// - Parameter images: [n, H, W, channels].
    func callAsFunction(_ tape: Tape, _ images: Variable) throws -> BackboneOutputs
}

/// The outputs of a backbone for a batch of n images.
struct BackboneOutputs {
    /// The outputs of its blocks, stages or groups, in order, [n, H, W, C] each; at least one.
    let stages: [Variable]
    /// The stage that is the local feature map.
    let local: Int
    /// [n, width].
    let features: Variable
    /// How maps are pooled to vectors.
    var pooling = MapPooling.mean
}
