import Collectives
import Training

/// The methods there are, by the name that the setting `method` has.
package enum MethodKind: String, Choice {
    case deepInfoMax, byol, factorVAE

    package var type: any Method.Type {
        switch self {
        case .deepInfoMax: DeepInfoMax.self
        case .byol: BYOL.self
        case .factorVAE: FactorVAE.self
        }
    }

    /// The method that trees of settings ask for, of which later ones count more; Deep InfoMax where none does.
    /// - Throws: `InputError` where there is no method of that name.
    package init(layers: [JSONValue]) throws {
        let asked = layers.reduce(JSONValue.null) { $1.value(at: "method") == .null ? $0 : $1.value(at: "method") }
        switch asked {
        case .null: self = .deepInfoMax
        case .string(let name): try self.init(named: name, "method")
        default: throw InputError("method is \(asked.text): it must be \(Self.expectation)")
        }
    }

    /// - Parameter setting: how the user wrote it.
    /// - Throws: `InputError` where there is no method of that name.
    package init(named name: String, _ setting: String) throws {
        guard let kind = Self(rawValue: name) else {
            let nearest = Self.allCases.min { name.distance(to: $0.rawValue) < name.distance(to: $1.rawValue) }
            throw InputError(
                "\(setting) is \(name): it must be \(Self.expectation)"
                    + (nearest.map { "; did you mean \($0.rawValue)?" } ?? ""))
        }
        self = kind
    }

    /// Refuses settings that only another method has.
    /// - Throws: `InputError` that names the method.
    package func refuseOthers(_ layers: [JSONValue]) throws {
        let own = try type.settingNames
        for layer in layers {
            for name in layer.leaves
            where !own.contains(where: { $0 == name || $0.isPart(of: name) || name.isPart(of: $0) }) {
                for other in Self.allCases where other != self {
                    let names = try other.type.settingNames
                    guard names.contains(where: { $0 == name || name.isPart(of: $0) }) else { continue }
                    throw InputError(
                        "setting \(name) belongs to method \(other.rawValue), and method is \(rawValue): leave it out, or "
                            + "add --method \(other.rawValue)")
                }
            }
        }
    }
}

extension String {
    /// Whether this setting is the other one, or above it in the tree: `critic` is above `critic.units`.
    fileprivate func isPart(of other: String) -> Bool { other.hasPrefix(self + ".") }
}

extension Method {
    /// Dotted paths of all settings of a run by this method.
    fileprivate static var settingNames: [String] { get throws { try defaults.tree().leaves } }
}
