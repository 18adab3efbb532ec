import Collectives
import Tensors

/// The rule by which a group moves in an update.
package enum UpdateRule {
    /// Along its gradient.
    case descends(OptimiserSettings)
    /// θ ← m·θ + (1 - m)·leader's θ after each update of the leader. It starts as a copy of the leader, and has no
    /// gradient and no moments: a target network (Grill et al. 2020, section 3.1).
    case follows(ParameterGroup, Momentum)

    /// The name in measurements.
    package var name: String {
        switch self {
        case .descends(let settings):
            switch settings.kind {
            case .adam: "Adam"
            case .sgd: "SGD"
            case .lars: "LARS"
            }
        case .follows: "following"
        }
    }

    /// Number of arrays that an update reads and writes, together.
    package var arraysMoved: Int {
        switch self {
        case .descends(let settings): settings.kind == .adam ? 7 : 5
        case .follows: 3
        }
    }

    /// Names, in checkpoints, of the arrays kept for each parameter.
    package var slotNames: [String] {
        switch self {
        case .descends(let settings): settings.kind == .adam ? Adam.slotNames : MomentumDescent.slotNames
        case .follows: []
        }
    }

    /// Whether it moves along a gradient.
    package var hasGradient: Bool {
        switch self {
        case .descends: true
        case .follows: false
        }
    }
}

/// The fraction of itself that a follower keeps in an update. It moves from `start` to `end` over the run, by half a
/// cosine (Grill et al. 2020, section 3.2: τ = 1 - (1 - τ_start)·(cos(πk/K) + 1)/2).
package struct Momentum: SettingsTree {
    /// In 0...1, as is `end`.
    package var start: Double
    package var end: Double

    package init(start: Double, end: Double) { (self.start, self.end) = (start, end) }

    package init() { self.init(start: 0.996, end: 1) }

    package static let help = [
        "start": "fraction of itself that the target keeps in the first step, 0 to 1",
        "end": "the same in the last step; it rises by half a cosine",
    ]

    package func check(_ name: String) throws {
        for (part, value) in [("start", start), ("end", end)] {
            try require((0...1).contains(value), "\(name).\(part)", value, "0 to 1")
        }
    }

    /// The fraction at step `step`, counted from 0, of a run of `steps`.
    package func value(at step: Int, of steps: Int) -> Double {
        end - (end - start) * (Double.cosine(Double.pi * Double(step) / Double(max(steps, 1))) + 1) / 2
    }
}

/// Parameters moved together by one rule, with the rule's own arrays.
package final class ParameterGroup {
    package let name: String
    package let rule: UpdateRule
    /// The part of the settings with its rule's, such as `optimiser`; empty where it has none.
    package let setting: String
    /// Number of updates.
    package var updates = 0
    /// The rule's own arrays, [count] each, in the order of `UpdateRule.slotNames`.
    package private(set) var slots: [Tensor] = []
    /// Values and gradients, as soon as a `ParameterStore` has allocated them.
    package private(set) var parameters: ParameterSet!
    let contents: Declarations.Contents
    /// Index among the groups of its model.
    private let index: Int

    init(_ name: String, _ rule: UpdateRule, setting: String, contents: Declarations.Contents, index: Int) {
        self.name = name
        self.setting = setting
        self.rule = rule
        self.contents = contents
        self.index = index
    }

    /// The owner of its parameters.
    package var identifier: ObjectIdentifier { ObjectIdentifier(contents) }

    /// Length of the flat arrays.
    package var count: Int { parameters.count }

    func allocate(device: Device, seed: UInt64) {
        parameters = ParameterSet(
            contents, device: device, seed: seed, firstIndex: index << 20, hasGradients: rule.hasGradient)
        slots = rule.slotNames.map { _ in device.tensor([parameters.count], filledWith: 0) }
        followFromStart()
    }

    /// Makes a follower equal to its leader, as before the first step.
    package func followFromStart() {
        guard case .follows(let leader, _) = rule else { return }
        precondition(leader.count == count, "\(name) has other parameters than \(leader.name), which it follows")
        parameters.values.copy(from: leader.parameters.values)
        for (own, other) in zip(parameters.states, leader.parameters.states) { own.values = other.values }
    }

    /// Moves to other arrays, [count] each. The caller has copied the contents.
    package func move(values: Tensor, gradients: Tensor?, slots: [Tensor]) {
        parameters.move(values: values, gradients: gradients)
        self.slots = slots
    }

    /// Learning rate of a step; nil where the rule has none.
    package func rate(at step: Int, of steps: Int) -> Double? {
        switch rule {
        case .descends(let settings): settings.rate(at: step, of: steps)
        case .follows: nil
        }
    }

    /// The sums over these elements that an update needs of whole arrays; most often none. Gradients must have been summed
    /// over ranks.
    package func normSums(in ranges: [Range<Int>]) -> [Double] {
        guard case .descends(let settings) = rule, settings.kind == .lars else { return [] }
        return MomentumDescent.squares(parameters, in: ranges)
    }

    /// Moves these elements once by the rule. Gradients, if any, must have been summed over ranks.
    /// - Parameter sums: `normSums` over all elements.
    package func update(at step: Int, of steps: Int, sums: [Double], in ranges: [Range<Int>]) {
        updates += 1
        switch rule {
        case .descends(let settings):
            let rate = settings.rate(at: step, of: steps)
            switch settings.kind {
            case .adam:
                Adam.update(
                    parameters, mean: slots[0], square: slots[1], settings, updates: updates, rate: rate, in: ranges)
            case .sgd, .lars:
                let scales = MomentumDescent.scales(parameters, squares: sums, settings, rate: rate)
                MomentumDescent.update(
                    parameters, momentum: slots[0], settings, rate: rate, scales: scales, in: ranges)
            }
        case .follows(let leader, let momentum):
            let kept = Float(momentum.value(at: step, of: steps))
            for range in ranges {
                parameters.values.view(from: range.lowerBound, shape: [range.count]).moveTowards(
                    leader.parameters.values.view(from: range.lowerBound, shape: [range.count]), keeping: kept)
            }
        }
    }
}

/// The memory of a model's declarations: its groups of parameters, and its states.
package final class ParameterStore {
    package let device: Device
    package let groups: [ParameterGroup]
    package let states: [StateArray]

    /// Allocates the groups and initialises them from random streams keyed by the seed and each parameter's index.
    package init(_ declarations: Declarations, device: Device, seed: UInt64) {
        precondition(declarations.contents.parameters.isEmpty, "a model's parameters belong to groups")
        self.device = device
        groups = declarations.groups.all
        states = declarations.contents.states + groups.flatMap(\.contents.states)
        for group in groups { group.allocate(device: device, seed: seed) }
    }

    /// All parameters, in order of declaration.
    package var parameters: [Parameter] { groups.flatMap(\.parameters.parameters) }

    /// The groups that follow one of these.
    package func followers(of leaders: [ParameterGroup]) -> [ParameterGroup] {
        groups.filter { group in
            guard case .follows(let leader, _) = group.rule else { return false }
            return leaders.contains { $0 === leader }
        }
    }
}
