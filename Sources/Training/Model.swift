import Collectives
import Datasets
import Foundation
import Layers
import Tensors

/// The trained model: a method's networks, with the memory of their parameters.
package final class Model<M: Method> {
    package let method: M
    package let card: M.Source.Card
    package let store: ParameterStore
    package var device: Device { store.device }
    /// Number of parameters that training changes along a gradient.
    package let parameterCount: Int

    /// - Parameter card: card of the data that the networks are made for.
    /// - Throws: `InputError` when the settings don't fit the data, or the machine's memory.
    package init(_ configuration: Configuration<M>, card: M.Source.Card, device: Device) throws {
        let declare = Declarations()
        method = try M(configuration.method, card: card, declare)
        self.card = card
        try checkMemory(declare)
        parameterCount = declare.parameterCount
        store = ParameterStore(declare, device: device, seed: configuration.seed)
    }
}

/// Refuses more parameters than this machine's memory holds, with gradients and moments.
func checkMemory(_ declarations: Declarations, memory: UInt64 = ProcessInfo.processInfo.physicalMemory) throws {
    let needed = declarations.bytesInTraining
    guard needed > Double(memory) else { return }
    throw InputError(
        "the model would have \(declarations.parameterCount) parameters, which take \(Int(needed / 0x1p30)) GiB with "
            + "gradients and moments, but this machine has \(memory >> 30) GiB: make its networks narrower")
}
