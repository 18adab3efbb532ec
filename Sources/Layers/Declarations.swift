import Autodiff
import Tensors

/// The initialisation of a parameter.
package enum Initialisation {
    /// Uniform in ±1/sqrt(fanIn), the default of PyTorch's linear and convolution layers.
    case uniform(fanIn: Int)
    case normal(deviation: Float)
    case constant(Float)
    /// For filters [O, I, k, k], k odd: of the first min(O, I), filter i is 1 at the centre of channel i and 0 elsewhere,
    /// so that it passes that channel unchanged (Zagoruyko & Komodakis 2017, "DiracNets"). The others are uniform in
    /// ±1/sqrt(fanIn).
    case identityFilters(fanIn: Int)
}

/// A named array that training changes. Its value and gradient are views of its set's flat memory.
package final class Parameter {
    /// Module path, as in checkpoints: `encoder.conv1.weight`.
    package let name: String
    package let shape: [Int]
    /// Path of the layer that it belongs to: `encoder.conv1`.
    package var layer: String { name.split(separator: ".").dropLast().joined(separator: ".") }
    /// Whether weight decay and trust ratios apply: biases and norms, arrays of one axis, have none.
    var decays: Bool { shape.count > 1 }
    package internal(set) var value: Tensor!
    /// nil where the parameter never moves along a gradient.
    package internal(set) var gradient: Tensor!
    let initialisation: Initialisation
    /// The owner: the declarations that it belongs to.
    let owner: ObjectIdentifier

    init(_ name: String, _ shape: [Int], _ initialisation: Initialisation, owner: ObjectIdentifier) {
        self.name = name
        self.shape = shape
        self.initialisation = initialisation
        self.owner = owner
    }
}

/// A named array that isn't trained but belongs in the checkpoint, such as a running mean.
package final class StateArray {
    package let name: String
    package let shape: [Int]
    package var values: [Float]

    init(_ name: String, _ values: [Float], shape: [Int]) {
        precondition(values.count == shape.reduce(1, *), "\(values.count) values of \(name) for shape \(shape)")
        self.name = name
        self.shape = shape
        self.values = values
    }
}

/// Declarations of layers' parameters and states, under a path of names. Nothing is allocated.
package final class Declarations {
    /// Declarations that belong together: those of one group, or those outside groups.
    final class Contents {
        var parameters: [Parameter] = []
        var states: [StateArray] = []
    }

    /// The groups of a model, in order.
    final class Groups {
        var all: [ParameterGroup] = []
    }

    let contents: Contents
    let groups: Groups
    private let path: [String]

    package convenience init() { self.init(Contents(), Groups(), path: []) }

    private init(_ contents: Contents, _ groups: Groups, path: [String]) {
        self.contents = contents
        self.groups = groups
        self.path = path
    }

    /// Number of parameters declared so far that move along a gradient, in groups and outside.
    package var parameterCount: Int {
        let others = groups.all.filter { $0.rule.hasGradient && $0.contents !== contents }.map(\.contents)
        return ([contents] + others).reduce(0) { $0 + $1.parameterCount }
    }

    /// Bytes of the groups with their gradients and moments.
    package var bytesInTraining: Double {
        groups.all.reduce(0) { sum, group in
            let arrays = 1 + (group.rule.hasGradient ? 1 : 0) + group.rule.slotNames.count
            return sum + 4 * Double(arrays) * Double(group.contents.parameterCount)
        }
    }

    /// The path: `encoder.norm1`.
    var name: String { path.joined(separator: ".") }

    /// Declares under a longer path.
    package func within(_ name: String) -> Declarations { Declarations(contents, groups, path: path + [name]) }

    /// Makes a group of the parameters that `make` declares. They are moved together by one rule.
    /// - Parameters:
    ///   - name: name of the group, for its number of updates in checkpoints. It isn't part of its arrays' names.
    ///   - setting: the part of the settings with the rule's, for messages.
    package func group<Networks>(
        _ name: String, _ rule: UpdateRule, setting: String = "optimiser", _ make: (Declarations) throws -> Networks
    ) rethrows -> (ParameterGroup, Networks) {
        precondition(!groups.all.contains { $0.name == name }, "two groups are called \(name)")
        let group = ParameterGroup(name, rule, setting: setting, contents: Contents(), index: groups.all.count)
        groups.all.append(group)
        return (group, try make(Declarations(group.contents, groups, path: path)))
    }

    package func parameter(_ name: String, _ shape: [Int], _ initialisation: Initialisation) -> Parameter {
        let parameter = Parameter(
            (path + [name]).joined(separator: "."), shape, initialisation, owner: ObjectIdentifier(contents))
        contents.parameters.append(parameter)
        return parameter
    }

    /// - Parameters:
    ///   - values: the start.
    ///   - shape: nil for one axis.
    package func state(_ name: String, _ values: [Float], shape: [Int]? = nil) -> StateArray {
        let state = StateArray((path + [name]).joined(separator: "."), values, shape: shape ?? [values.count])
        contents.states.append(state)
        return state
    }
}

extension Declarations.Contents {
    var parameterCount: Int { parameters.reduce(0) { $0 + $1.shape.reduce(1, *) } }
}

extension Tape {
    /// A parameter on this tape. It gets a gradient, or is a constant if its group doesn't move.
    package func use(_ parameter: Parameter) -> Variable {
        guard let gradient = parameter.gradient, moves(parameter.owner) else { return constant(parameter.value) }
        return self.parameter(parameter.value, gradient: gradient)
    }
}
