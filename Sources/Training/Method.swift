import Autodiff
import Collectives
import Datasets
import Layers
import Objectives

/// A whole way of training: networks, losses, and what moves when.
///
/// The loop calls its functions in a fixed order: `turns` once a step, then for each pass of a turn `terms`, and
/// `settle` where the update was finite. Nothing else is called, and nothing is looked up by name.
package protocol Method: AnyObject {
    associatedtype Settings: MethodSettings
    associatedtype Source: DataSource
    /// What `--layer` takes.
    associatedtype Layer: RawRepresentable & CaseIterable & Hashable & Sendable where Layer.RawValue == String

    /// As the setting `method` and `--method` have it.
    static var name: String { get }
    /// What a run has where nothing is set.
    static var defaults: Configuration<Self> { get }

    /// What it wants of each sample.
    /// - Throws: `InputError` where the settings of the data give it nothing to learn from.
    static func recipe(_ settings: Settings, _ data: Source.Settings) throws -> Source.Recipe
    /// The settings with nothing left automatic.
    /// - Throws: `InputError` where they aren't for these data.
    static func resolved(_ settings: Settings, for card: Source.Card) throws -> Settings

    /// Declares networks, states and groups. Allocates nothing, asks nobody.
    /// - Throws: `InputError` where the settings aren't for these data.
    init(_ settings: Settings, card: Source.Card, _ declare: Declarations) throws

    /// The minimisations of a step, in order. They follow from the step alone: ranks must not differ. No step has more
    /// batches than step 0.
    func turns(at step: Int) -> [Turn]
    /// The losses of a pass. Collective, and so is `backward` from them; every rank comes here, also one without a
    /// sample.
    func terms(_ pass: Pass, _ batch: Source.Batch) throws -> [Term]
    /// Behind an update that was finite: queues and banks move. Collective.
    func settle(_ pass: Pass, _ batch: Source.Batch) throws
    /// Features of a batch of one rank, [n, …] each, on a tape in evaluation mode. Not collective.
    func features(_ tape: Tape, _ batch: Source.Batch, _ layers: [Layer]) throws -> [Variable]

    /// What was built, for a person: a line about the networks, and one about what is minimised.
    func summary(batch: Int) -> (networks: String, objective: String)
}

extension Method {
    package static var defaults: Configuration<Self> { Configuration() }
    package static func resolved(_ settings: Settings, for card: Source.Card) throws -> Settings { settings }
    package func settle(_ pass: Pass, _ batch: Source.Batch) throws {}
}

/// The settings of a method: the parts of the tree beside those of the run and its data.
package protocol MethodSettings: SettingsTree {
    /// These settings for going on with an earlier run: what is automatic stays what it was found to be.
    func adopting(_ earlier: Self) -> Self
    /// Throws `InputError` where a value is out of its range.
    func check() throws
}

extension MethodSettings {
    package func adopting(_ earlier: Self) -> Self { self }
}

/// One minimisation of a step.
package struct Turn {
    /// Who moves; everybody else's parameters are constants.
    package let players: [ParameterGroup]
    /// How often in a row, each time from a new pass.
    package let times: Int
    /// Whether each pass has a batch of its own, and not that of the pass before.
    package let drawsAnew: Bool

    package init(_ players: ParameterGroup..., times: Int = 1, drawsAnew: Bool = false) {
        self.init(players, times: times, drawsAnew: drawsAnew)
    }

    package init(_ players: [ParameterGroup], times: Int = 1, drawsAnew: Bool = false) {
        precondition(times >= 1, "a turn of \(times) passes")
        precondition(players.allSatisfy(\.rule.hasGradient), "who follows another moves with it, in nobody's turn")
        self.players = players
        self.times = times
        self.drawsAnew = drawsAnew
    }
}

/// A pass of a step: whose turn it is, and which of the step's batches it sees, from 0.
struct ScheduledPass {
    let turn: Turn
    let draw: Int
    /// Among the passes of the step, from 0.
    let place: Int

    static func all(of turns: [Turn]) -> [ScheduledPass] {
        var passes: [ScheduledPass] = []
        var draw = 0
        for turn in turns {
            for _ in 0..<turn.times {
                if turn.drawsAnew && !passes.isEmpty { draw += 1 }
                passes.append(ScheduledPass(turn: turn, draw: draw, place: passes.count))
            }
        }
        return passes
    }

    /// Batches that a step of these turns takes.
    static func draws(of turns: [Turn]) -> Int { (all(of: turns).last?.draw ?? 0) + 1 }
}
