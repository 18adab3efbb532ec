import Collectives
import Datasets
import Foundation
import Layers
import Tensors

/// A checkpoint whose checksums held.
package struct LoadedCheckpoint {
    package let folder: String
    package let step: Int
    /// nil before format 3, when there was one.
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
        throw InputError("\(folder) is of method \(method), and method is \(M.name): add --method \(method)")
    }

    /// A line about each part of the data that was read otherwise for this checkpoint than it is now.
    /// - Parameter changes: of the data at hand.
    package func notes(on changes: [ReadingChange]) -> [String] {
        let versions = "version \(reading) of reading data, and this program has \(Reading.version)"
        guard reading <= Reading.version else {
            return ["\(folder) is of \(versions): the data may not be read as they were for it"]
        }
        return changes.filter { $0.since > reading }.map { "\(folder) is of \(versions): \($0.what)" }
    }

    /// What it says of the data that it was trained on.
    /// - Throws: `InputError` where it is a card of other data.
    package func card<Card: Codable>(as type: Card.Type = Card.self) throws -> Card {
        do { return try JSONDecoder().decode(type, from: JSONEncoder().encode(cardTree)) } catch is DecodingError {
            throw InputError("\(folder): its card of the data is that of another method, or damaged")
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

    /// Sets what update rules keep, and how often each group was moved. Throws `InputError` when the store has other
    /// groups.
    func restoreRules(_ store: ParameterStore) throws {
        try SafeTensors.read(
            self.optimiser, file: "\(folder)/\(CheckpointStore.optimiserName)", into: store.slotArrays)
        for group in store.groups {
            guard let count = updates[group.name] else {
                throw InputError("\(folder)/manifest.json has no count of updates of \(group.name)")
            }
            group.updates = count
        }
    }
}

extension ParameterStore {
    /// What a checkpoint keeps of the networks, by module path.
    var arrays: [NamedArray] {
        parameters.map { NamedArray(name: $0.name, shape: $0.shape, values: $0.value.elements) }
    }

    /// Copies of the states, with what frees them.
    var stateArrays: (arrays: [NamedArray], release: () -> Void) {
        let arrays = states.map { state in
            let copy = UnsafeMutableBufferPointer<Float>.allocate(capacity: state.values.count)
            _ = copy.initialize(fromContentsOf: state.values)
            return NamedArray(name: state.name, shape: [state.values.count], values: copy)
        }
        return (arrays, { for array in arrays { array.values.deallocate() } })
    }

    /// What update rules keep beside each parameter.
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
