import Collectives
import Tensors

/// A rank's part of a global batch.
package protocol RankBatch {
    /// How many samples each rank has.
    var shares: Shares { get }
    /// Numbers in the data set of this rank's samples, in order.
    var samples: [Int] { get }
    /// What a network is given of them, each array with a row a sample: kept when a step goes astray.
    var inputs: [Tensor] { get }
}

/// Samples on disk, dealt to ranks by virtual shards: a batch follows from the seed and its number, at any world size.
package protocol DataSource: AnyObject {
    /// The section `data` of the settings.
    associatedtype Settings: DataSettings
    /// What a method wants of each sample.
    associatedtype Recipe: Sendable
    /// What one must know of the data to use a model that was trained on them.
    associatedtype Card: DataCard
    associatedtype Batch: RankBatch

    /// Reads this rank's samples. Collective.
    /// - Parameter batch: samples of a global batch.
    /// - Throws: what `agree` throws: data that can't be read, or that the recipe isn't for.
    init(_ settings: Settings, _ recipe: Recipe, batch: Int, seed: UInt64, ranks: any Ranks) throws

    var plan: BatchPlan { get }
    var card: Card { get }
    /// The settings with what was automatic as it was found to be, as they are to be kept.
    var settings: Settings { get }
    /// A line for each sample that was left out.
    var skipped: [String] { get }
    /// A line for each thing that was guessed, converted or left out, over all ranks: to be told.
    var notes: [String] { get }
    /// What earlier versions of reading read otherwise, over all ranks.
    var changes: [ReadingChange] { get }
    /// Samples of all ranks that stayed.
    var count: Int { get }
    /// A phrase: `50000 images of 32x32x3`.
    var summary: String { get }

    /// This rank's part of a batch; `draw` counts batches from 0 over all epochs.
    func batch(_ draw: Int, device: Device) throws -> Batch

    /// A split in order, without augmentation, of which each rank has consecutive samples: what `eval` and `embed` go
    /// over. Collective.
    /// - Parameters:
    ///   - split: nil for the training split, or for all of what has none.
    ///   - isLabelled: whether labels are wanted; they aren't read otherwise.
    ///   - card: of the data that the model was trained on.
    /// - Throws: what `agree` throws: also for data that the card isn't for.
    static func rows(
        _ settings: Settings, _ recipe: Recipe, split: Split?, isLabelled: Bool, card: Card, ranks: any Ranks
    ) throws -> EvaluationRows<Batch>

    /// A card, and a batch of noise of so many samples on each rank, for measurements: always the same one.
    static func noise(_ recipe: Recipe, perRank: Int, device: Device, ranks: any Ranks) -> (card: Card, batch: Batch)
}

/// What one must know of data to use a model that was trained on them.
package protocol DataCard: Codable, Equatable, Sendable {
    /// Whether samples are of one shape here and there, whatever their values.
    func hasShape(of other: Self) -> Bool
}

/// The settings of a source of data.
package protocol DataSettings: SettingsTree {
    /// Folder or file; empty where there is none.
    var path: String { get set }
    /// Leave out samples that can't be read.
    var skipBroken: Bool { get set }
    /// These settings for going on with an earlier run: what is automatic stays what it was found to be.
    func adopting(_ earlier: Self) -> Self
    /// Throws `InputError` where a value is out of its range.
    func check() throws
}

/// Samples of a split in their order, of which this rank has consecutive ones.
package struct EvaluationSamples {
    /// Samples of all ranks.
    package let count: Int
    /// Those of this rank.
    package let own: Range<Int>
    /// Of this rank's samples, as the data have them, from 0 on and with gaps, or `noLabel`; nil without labels.
    package let labels: [Int32]?
    /// By label; nil where the data have none.
    package let classNames: [String]?
    /// Names of some samples, as numbers in the whole split; nil where the data have none.
    package let names: ((Range<Int>) -> [String]?)
    /// A line for each sample that was left out.
    package let skipped: [String]
    /// A line for each thing that was guessed, converted or left out, over all ranks: to be told.
    package let notes: [String]
    /// What earlier versions of reading read otherwise, over all ranks.
    package let changes: [ReadingChange]
    /// Where the samples are images, these themselves, and what the networks' input was made by.
    package let images: (dataset: ImageDataset, normalisation: Normalisation)?

    package init(
        count: Int, own: Range<Int>, labels: [Int32]?, classNames: [String]? = nil,
        names: @escaping (Range<Int>) -> [String]? = { _ in nil }, skipped: [String],
        notes: [String] = [], changes: [ReadingChange] = [],
        images: (dataset: ImageDataset, normalisation: Normalisation)?
    ) {
        self.count = count
        self.own = own
        self.labels = labels
        self.classNames = classNames
        self.names = names
        self.skipped = skipped
        self.notes = notes
        self.changes = changes
        self.images = images
    }
}

/// These samples, ready for a method's networks.
package struct EvaluationRows<Batch> {
    package let samples: EvaluationSamples
    /// Some of this rank's samples, as numbers in the whole split, as a batch of one rank.
    package let batch: (_ rows: Range<Int>, _ device: Device) throws -> Batch

    package init(_ samples: EvaluationSamples, batch: @escaping (_ rows: Range<Int>, _ device: Device) throws -> Batch)
    {
        self.samples = samples
        self.batch = batch
    }
}
