import Collectives
import Tensors

/// A rank's part of a global batch.
package protocol RankBatch {
    /// Number of samples of each rank.
    var shares: Shares { get }
    /// Indices in the data set of this rank's samples, in order.
    var samples: [Int] { get }
    /// The networks' inputs, arrays with a row for each sample. They are kept when a step isn't finite.
    var inputs: [Tensor] { get }
}

/// Samples on disk, divided among ranks by virtual shards. A batch depends on the seed and its index, not on the world
/// size.
package protocol DataSource: AnyObject {
    /// The section `data` of the settings.
    associatedtype Settings: DataSettings
    /// The views of each sample that a method needs.
    associatedtype Recipe: Sendable
    /// The properties of the data that a model trained on them depends on.
    associatedtype Card: DataCard
    associatedtype Batch: RankBatch

    /// Reads this rank's samples. Collective.
    /// - Parameter batch: samples of a global batch.
    /// - Throws: the errors of `agree`, for data that can't be read or don't fit the recipe.
    init(_ settings: Settings, _ recipe: Recipe, batch: Int, seed: UInt64, ranks: any Ranks) throws

    var plan: BatchPlan { get }
    var card: Card { get }
    /// The settings with automatic ones replaced by their values, as kept in the run.
    var settings: Settings { get }
    /// A line for each sample that was left out.
    var skipped: [String] { get }
    /// Notes for the user: a line for each guess, conversion and thing left out, over all ranks.
    var notes: [String] { get }
    /// Changes since earlier versions of reading, over all ranks.
    var changes: [ReadingChange] { get }
    /// Number of samples that were kept, over all ranks.
    var count: Int { get }
    /// A phrase such as `50000 images of 32x32x3`.
    var summary: String { get }

    /// This rank's part of a batch; `draw` counts batches from 0 over all epochs.
    func batch(_ draw: Int, device: Device) throws -> Batch

    /// The samples of a batch as they are, without augmentation; nil where batches have none.
    func plainBatch(_ draw: Int, device: Device) throws -> Batch?

    /// A split in order, without augmentation, for `eval` and `embed`. Each rank has consecutive samples. Collective.
    /// - Parameters:
    ///   - split: nil for the training split, or for all samples of data without splits.
    ///   - isLabelled: whether to read labels.
    ///   - patches: the parts of samples that stand for them; nil for whole samples.
    ///   - card: card of the data that the model was trained on.
    /// - Throws: the errors of `agree`, also for data that don't fit the card.
    static func rows(
        _ settings: Settings, _ recipe: Recipe, split: Split?, isLabelled: Bool, patches: PatchGrid?, card: Card,
        ranks: any Ranks
    ) throws -> EvaluationRows<Batch>

    /// A card, and a batch of noise with a number of samples on each rank, for measurements. It is always the same.
    static func noise(_ recipe: Recipe, perRank: Int, device: Device, ranks: any Ranks) -> (card: Card, batch: Batch)
}

/// The properties of data that a model trained on them depends on.
package protocol DataCard: Codable, Equatable, Sendable {
    /// Whether the samples of both have the same shape, whatever their values.
    func hasShape(of other: Self) -> Bool
}

/// The settings of a source of data.
package protocol DataSettings: SettingsTree {
    /// Folder or file; empty where there is none.
    var path: String { get set }
    /// Leave out samples that can't be read.
    var skipBroken: Bool { get set }
    /// These settings for continuing an earlier run: automatic settings keep the values found then.
    func adopting(_ earlier: Self) -> Self
    /// Throws `InputError` where a value is out of its range.
    func check() throws
}

/// Samples of a split in order, of which this rank has consecutive ones.
package struct EvaluationSamples {
    /// Number of samples of all ranks.
    package let count: Int
    /// Indices of this rank's samples.
    package let own: Range<Int>
    /// Labels of this rank's samples, as in the data, from 0 on and with gaps, or `noLabel`; nil without labels.
    package let labels: [Int32]?
    /// Names of classes by label; nil where the data have none.
    package let classNames: [String]?
    /// Names of samples by their indices in the whole split; nil where the data have none.
    package let names: ((Range<Int>) throws -> [String]?)
    /// A line for each sample that was left out.
    package let skipped: [String]
    /// Notes for the user: a line for each guess, conversion and thing left out, over all ranks.
    package let notes: [String]
    /// Changes since earlier versions of reading, over all ranks.
    package let changes: [ReadingChange]
    /// The images, if the samples are images, and the normalisation of the networks' input.
    package let images: (dataset: ImageDataset, normalisation: Normalisation)?

    package init(
        count: Int, own: Range<Int>, labels: [Int32]?, classNames: [String]? = nil,
        names: @escaping (Range<Int>) throws -> [String]? = { _ in nil }, skipped: [String],
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
    /// Whether training changes samples, so that they differ from these.
    package let areChangedInTraining: Bool
    /// Parts of a sample that stand for it; 1 for the whole sample.
    package let parts: Int
    /// Returns some of this rank's samples, by indices in the whole split, as a batch of one rank: part k of the i-th of n
    /// samples is row k·n + i.
    package let batch: (_ rows: [Int], _ device: Device) throws -> Batch

    package init(
        _ samples: EvaluationSamples, areChangedInTraining: Bool, parts: Int = 1,
        batch: @escaping (_ rows: [Int], _ device: Device) throws -> Batch
    ) {
        self.samples = samples
        self.areChangedInTraining = areChangedInTraining
        self.parts = parts
        self.batch = batch
    }
}
