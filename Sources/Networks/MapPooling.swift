import Autodiff
import Collectives

/// How a feature map becomes a vector: by the mean, the maximum, or both side by side, over all locations.
package enum MapPooling: String, Choice {
    case mean, maximum, both

    /// [n, H, W, C] to [n, width].
    func callAsFunction(_ tape: Tape, _ map: Variable) -> Variable {
        switch self {
        case .mean: tape.globalMean(map)
        case .maximum: tape.globalMaximum(map)
        case .both: tape.concatenateColumns([tape.globalMean(map), tape.globalMaximum(map)])
        }
    }

    /// Width of the vector.
    func width(channels: Int) -> Int { self == .both ? 2 * channels : channels }
}
