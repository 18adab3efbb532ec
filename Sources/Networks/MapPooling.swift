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

extension [MapShape] {
    /// Index of the map that is the local one by default: the last whose longer side is at least 7, otherwise the first.
    var defaultLocal: Int { lastIndex { Swift.max($0.height, $0.width) >= 7 } ?? 0 }
}
