import Collectives
import Training

/// All methods, by their names in the setting `method`.
package enum MethodKind: String, Choice {
    case deepInfoMax, simclr, byol, mocoV2, simsiam, barlowTwins, vicreg, multiPatch, supervised, factorVAE

    package var type: any Method.Type {
        switch self {
        case .deepInfoMax: DeepInfoMax.self
        case .simclr: SimCLR.self
        case .byol: BYOL.self
        case .mocoV2: MoCoV2.self
        case .simsiam: SimSiam.self
        case .barlowTwins: BarlowTwins.self
        case .vicreg: VICReg.self
        case .multiPatch: MultiPatch.self
        case .supervised: Supervised.self
        case .factorVAE: FactorVAE.self
        }
    }

    /// The method in trees of settings; later trees override earlier ones. Deep InfoMax where none says a method.
    /// - Throws: `InputError` where there is no method of that name.
    package init(layers: [JSONValue]) throws {
        let asked = layers.compactMap { $0.members["method"] }.last
        switch asked {
        case nil: self = .deepInfoMax
        case .string(let name)?: try self.init(named: name, "method")
        case let asked?: throw InputError("method is \(asked.text): it must be \(Self.expectation)")
        }
    }

    /// - Parameter setting: the option or setting, as the user wrote it.
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
        for name in layers.flatMap(\.leaves) where !own.contains(name) {
            for other in Self.allCases where other != self {
                let names = try other.type.settingNames
                let part = name.firstPart
                let isOnlyTheirs = names.contains { $0.firstPart == part } && !own.contains { $0.firstPart == part }
                guard names.contains(name) || isOnlyTheirs else { continue }
                throw InputError(
                    "setting \(name) belongs to method \(other.rawValue), but method is \(rawValue): leave it out, or "
                        + "add --method \(other.rawValue)")
            }
        }
    }
}

extension String {
    /// `critic` of `critic.units`.
    fileprivate var firstPart: Substring { prefix { $0 != "." } }
}

extension Method {
    /// Dotted paths of all settings of a run by this method.
    fileprivate static var settingNames: [String] { get throws { try defaults.tree().leaves } }
}
