import Autodiff
import Collectives
import Datasets
import Layers
import Objectives

/// A way of training: networks, losses, and which parameters move when.
///
/// The loop calls its functions in a fixed order: `turns` once a step, then for each pass of a turn `terms`, and
/// `settle` where the update was finite. Nothing else is called, and nothing is looked up by name.
package protocol Method: AnyObject {
    associatedtype Settings: MethodSettings
    associatedtype Source: DataSource
    /// The values of `--layer`.
    associatedtype Layer: RawRepresentable & CaseIterable & Hashable & Sendable where Layer.RawValue == String

    /// The name, as in the setting `method` and in `--method`.
    static var name: String { get }
    /// The default settings of a run.
    static var defaults: Configuration<Self> { get }

    /// The recipe of the method's views of each sample.
    /// - Throws: `InputError` where the settings of the data leave nothing to learn.
    static func recipe(_ settings: Settings, _ data: Source.Settings) throws -> Source.Recipe
    /// The settings with automatic ones replaced by their values.
    /// - Throws: `InputError` where the settings don't fit these data.
    static func resolved(_ settings: Settings, for card: Source.Card) throws -> Settings

    /// Declares networks, states and groups. It allocates nothing and calls no other rank.
    /// - Throws: `InputError` where the settings don't fit these data.
    init(_ settings: Settings, card: Source.Card, _ declare: Declarations) throws

    /// The minimisations of a step, in order. They depend on the step alone, so that all ranks agree. No step has more
    /// batches than step 0.
    func turns(at step: Int) -> [Turn]
    /// The losses of a pass. Collective, and so is `backward` from them. Every rank calls it, even one without samples.
    func terms(_ pass: Pass, _ batch: Source.Batch) throws -> [Term]
    /// Called after a finite update, to move queues and banks. Collective.
    func settle(_ pass: Pass, _ batch: Source.Batch) throws
    /// Features of a batch on one rank, [n, …] each, on a tape in evaluation mode. Not collective.
    func features(_ tape: Tape, _ batch: Source.Batch, _ layers: [Layer]) throws -> [Variable]

    /// A summary for people: a line about the networks, and a line about the objective.
    func summary(batch: Int) -> (networks: String, objective: String)
}

extension Method {
    package static var defaults: Configuration<Self> { Configuration() }
    package static func resolved(_ settings: Settings, for card: Source.Card) throws -> Settings { settings }
    package func settle(_ pass: Pass, _ batch: Source.Batch) throws {}
}

/// The settings of a method: the parts of the tree beside those of the run and its data.
package protocol MethodSettings: SettingsTree {
    /// These settings for continuing an earlier run: automatic settings keep the values found then.
    func adopting(_ earlier: Self) -> Self
    /// Throws `InputError` where a value is out of its range.
    func check() throws
}

extension MethodSettings {
    package func adopting(_ earlier: Self) -> Self { self }
}

/// One minimisation of a step.
package struct Turn {
    /// The groups that move. All other parameters are constants.
    package let players: [ParameterGroup]
    /// Number of updates in a row, each from a new pass.
    package let times: Int
    /// Whether each pass draws a new batch instead of using that of the pass before.
    package let drawsAnew: Bool

    package init(_ players: ParameterGroup..., times: Int = 1, drawsAnew: Bool = false) {
        self.init(players, times: times, drawsAnew: drawsAnew)
    }

    package init(_ players: [ParameterGroup], times: Int = 1, drawsAnew: Bool = false) {
        precondition(times >= 1, "a turn of \(times) passes")
        precondition(
            players.allSatisfy(\.rule.hasGradient),
            "a group that follows another moves with it, and has no turn of its own")
        self.players = players
        self.times = times
        self.drawsAnew = drawsAnew
    }
}

/// A pass of a step: its turn, and which of the step's batches it sees, from 0.
struct ScheduledPass {
    let turn: Turn
    let draw: Int
    /// Index among the passes of the step, from 0.
    let index: Int

    static func all(of turns: [Turn]) -> [ScheduledPass] {
        var passes: [ScheduledPass] = []
        var draw = 0
        for turn in turns {
            for _ in 0..<turn.times {
                if turn.drawsAnew && !passes.isEmpty { draw += 1 }
                passes.append(ScheduledPass(turn: turn, draw: draw, index: passes.count))
            }
        }
        return passes
    }

    /// Batches that a step of these turns takes.
    static func draws(of turns: [Turn]) -> Int { (all(of: turns).last?.draw ?? 0) + 1 }
}
