import Collectives
import Foundation
import Layers
import Tensors

/// A checkpoint whose checksums held.
package struct LoadedCheckpoint {
    package let folder: String
    package let step: Int
    let updates: Int
    package let card: ModelCard
    let model: Data
    let optimiser: Data

    /// Sets a model's parameters and states. Throws `InputError` when it has other arrays.
    package func restore(_ model: Model) throws {
        let states = model.stateArrays
        defer { states.release() }
        try SafeTensors.read(
            self.model, file: "\(folder)/\(CheckpointStore.modelName)", into: model.arrays + states.arrays)
        for (state, array) in zip(model.states, states.arrays) { state.values = Array(array.values) }
    }

    /// Sets the moments of the optimisers of a model's parameter sets.
    func restore(_ optimisers: [Adam], of model: Model) throws {
        try SafeTensors.read(
            self.optimiser, file: "\(folder)/\(CheckpointStore.optimiserName)", into: model.moments(of: optimisers))
        for optimiser in optimisers { optimiser.updates = updates }
    }
}

extension Model {
    package var states: [StateArray] { parameterSets.flatMap(\.states) }

    /// Copies of the states, with what frees them.
    var stateArrays: (arrays: [NamedArray], release: () -> Void) {
        let arrays = states.map { state in
            let copy = UnsafeMutableBufferPointer<Float>.allocate(capacity: state.values.count)
            _ = copy.initialize(fromContentsOf: state.values)
            return NamedArray(name: state.name, shape: [state.values.count], values: copy)
        }
        return (arrays, { for array in arrays { array.values.deallocate() } })
    }

    func moments(of optimisers: [Adam]) -> [NamedArray] {
        zip(parameterSets, optimisers).flatMap { set, optimiser in
            [("first_moment", optimiser.mean), ("second_moment", optimiser.square)].flatMap { name, flat in
                set.parameters.map { parameter in
                    let start = parameter.value.base - set.values.base
                    return NamedArray(
                        name: "\(name).\(parameter.name)", shape: parameter.shape,
                        values: flat.view(from: start, shape: parameter.shape).elements)
                }
            }
        }
    }
}
