import Collectives
import Datasets
import Foundation
import Layers
import Tensors

/// A checkpoint whose checksums were right.
package struct LoadedCheckpoint {
    package let folder: String
    package let step: Int
    /// Name of the method; nil before format 3, when there was only one method.
    private let method: String?
    /// `Reading.version` of the program that wrote it.
    private let reading: Int
    let updates: UpdateCounts
    private let cardTree: JSONValue
    let model: Data
    let optimiser: Data

    init(
        folder: String, step: Int, method: String?, reading: Int, updates: UpdateCounts, card: JSONValue, model: Data,
        optimiser: Data
    ) {
        (self.folder, self.step, self.method, self.reading) = (folder, step, method, reading)
        self.updates = updates
        (cardTree, self.model, self.optimiser) = (card, model, optimiser)
    }

    /// - Throws: `InputError` where another method wrote it.
    package func check<M: Method>(isOf _: M.Type) throws {
        guard let method, method != M.name else { return }
        throw InputError("\(folder) was trained by method \(method), but method is \(M.name): add --method \(method)")
    }

    /// A line about each part of the data that is now read otherwise than for this checkpoint.
    /// - Parameter changes: those that concern the data at hand.
    package func notes(on changes: [ReadingChange]) -> [String] {
        let versions = "version \(reading) of reading data, but this program has version \(Reading.version)"
        guard reading <= Reading.version else {
            return ["\(folder) is of \(versions): the data may now be read otherwise"]
        }
        return changes.filter { $0.since > reading }.map { "\(folder) is of \(versions): \($0.what)" }
    }

    /// The card of the data that it was trained on.
    /// - Throws: `InputError` where the card is of another kind of data.
    package func card<Card: Codable>(as type: Card.Type = Card.self) throws -> Card {
        do { return try JSONDecoder().decode(type, from: JSONEncoder().encode(cardTree)) } catch is DecodingError {
            throw InputError("\(folder) has a card of the data that is damaged, or written by another method")
        }
    }

    /// Sets parameters and states. Throws `InputError` when the store has other arrays.
    package func restore(_ store: ParameterStore) throws {
        let states = store.stateArrays
        defer { states.release() }
        try SafeTensors.read(
            self.model, file: "\(folder)/\(CheckpointStore.modelName)", into: store.arrays + states.arrays)
        for (state, array) in zip(store.states, states.arrays) { state.values = Array(array.values) }
    }

    /// Sets the arrays of a new model's encoder, `encoder.*`, to those of the same name and shape here; groups that follow
    /// start from them.
    /// - Returns: a phrase on each array of either encoder that the other lacks, or has in another shape.
    /// - Throws: `InputError` where no array is the same.
    func start(_ store: ParameterStore) throws -> [String] {
        let states = store.stateArrays
        defer { states.release() }
        let prefix = "encoder."
        let own = (store.arrays + states.arrays).filter { $0.name.hasPrefix(prefix) }
        let file = "\(folder)/\(CheckpointStore.modelName)"
        let differences = try SafeTensors.readCommon(model, file: file, into: own)
        let ofEncoders = differences.filter { $0.hasPrefix(prefix) }
        guard ofEncoders.filter({ !$0.hasSuffix("is left over") }).count < own.count else {
            throw InputError("--init: \(file) has none of the encoder's arrays: choose a run with the same encoder")
        }
        for (state, array) in zip(store.states, states.arrays) where state.name.hasPrefix(prefix) {
            state.values = Array(array.values)
        }
        for group in store.groups { group.followFromStart() }
        return ofEncoders
    }

    /// Sets the state of update rules, and the number of updates of each group. Throws `InputError` when the store has
    /// other groups.
    func restoreRules(_ store: ParameterStore) throws {
        try SafeTensors.read(
            self.optimiser, file: "\(folder)/\(CheckpointStore.optimiserName)", into: store.slotArrays)
        for group in store.groups {
            guard let count = updates[group.name] else {
                throw InputError(
                    "\(folder)/manifest.json has no number of updates of \(group.name): it was written "
                        + "with other settings")
            }
            group.updates = count
        }
    }
}

extension ParameterStore {
    /// The arrays of the networks that a checkpoint keeps, named by module path.
    var arrays: [NamedArray] {
        parameters.map { NamedArray(name: $0.name, shape: $0.shape, values: $0.value.elements) }
    }

    /// Copies of the states, with a function that frees them.
    var stateArrays: (arrays: [NamedArray], release: () -> Void) {
        let arrays = states.map { state in
            let copy = UnsafeMutableBufferPointer<Float>.allocate(capacity: state.values.count)
            _ = copy.initialize(fromContentsOf: state.values)
            return NamedArray(name: state.name, shape: state.shape, values: copy)
        }
        return (arrays, { for array in arrays { array.values.deallocate() } })
    }

    /// The arrays that update rules keep for each parameter.
    var slotArrays: [NamedArray] {
        groups.flatMap { group in
            zip(group.rule.slotNames, group.slots).flatMap { name, flat in
                group.parameters.parameters.map { parameter in
                    let start = parameter.value.base - group.parameters.values.base
                    return NamedArray(
                        name: "\(name).\(parameter.name)", shape: parameter.shape,
                        values: flat.view(from: start, shape: parameter.shape).elements)
                }
            }
        }
    }

    var updateCounts: UpdateCounts {
        .byGroup(Dictionary(uniqueKeysWithValues: groups.map { ($0.name, $0.updates) }))
    }
}
