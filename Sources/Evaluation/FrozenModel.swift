import Autodiff
import Collectives
import Datasets
import Tensors
import Training

/// Layers of a method whose outputs are taken as features side by side: `fc+code`.
package struct LayerJoin<Layer: RawRepresentable & CaseIterable & Hashable & Sendable>: Hashable, Sendable
where Layer.RawValue == String {
    /// At least one.
    package let layers: [Layer]

    /// As they are written: `fc+code`.
    package var name: String { layers.map(\.rawValue).joined(separator: "+") }

    /// - Parameter text: names of layers with `+` between them.
    /// - Throws: `InputError` on a layer that isn't one, or is named twice.
    package init(_ text: String, option: String) throws {
        layers = try text.split(separator: "+", omittingEmptySubsequences: false).map { word in
            guard let layer = Layer(rawValue: String(word)) else {
                throw InputError(
                    "\(option) is \(text): it must be one of \(Self.names), or several with + between them")
            }
            return layer
        }
        guard Set(layers).count == layers.count else {
            throw InputError("\(option) is \(text): a layer is named twice, once is enough")
        }
    }

    /// A list with commas between its parts.
    package static func list(_ text: String, option: String) throws -> [LayerJoin] {
        let joins = try text.split(separator: ",", omittingEmptySubsequences: false).map {
            try LayerJoin(String($0), option: option)
        }
        for (place, join) in joins.enumerated() where joins[..<place].contains(join) {
            throw InputError("\(option) is \(text): \(join.name) is given twice, once is enough")
        }
        return joins
    }

    /// The names of all layers, with commas between them.
    package static var names: String { Layer.allCases.map(\.rawValue).joined(separator: ", ") }
}

/// A model that is only used, with the statistics of its training.
package struct FrozenModel<M: Method> {
    private let model: Model<M>
    /// Samples that go through the networks at a time.
    private static var block: Int { 256 }

    package init(_ model: Model<M>) { self.model = model }

    /// Features of the samples that this rank has, in order: a [own, width] tensor for each of the joins. Not
    /// collective.
    package func features(
        of rows: EvaluationRows<M.Source.Batch>, _ joins: [LayerJoin<M.Layer>]
    ) throws -> [Tensor] {
        let (device, own) = (model.device, rows.samples.own)
        let layers = Array(Set(joins.flatMap(\.layers)))
        var results: [Tensor] = []
        // A rank without samples has a block of none, for the widths.
        let end = max(own.upperBound, own.lowerBound + 1)
        for start in stride(from: own.lowerBound, to: end, by: Self.block) {
            let held = start..<min(start + Self.block, own.upperBound)
            let tape = Tape(
                device: device, ranks: SingleRank(), shares: Shares(counts: [held.count], rank: 0), mode: .evaluation)
            let values = try model.method.features(tape, rows.batch(held, device), layers).map(\.value)
            let matrices = Dictionary(uniqueKeysWithValues: zip(layers, values.map { flat($0, rows: held.count) }))
            let parts = joins.map { join in join.layers.compactMap { matrices[$0] } }
            if results.isEmpty {
                results = parts.map { device.tensor([own.count, $0.reduce(0) { $0 + $1.shape[1] }]) }
            }
            let place = start - own.lowerBound
            for (result, parts) in zip(results, parts) {
                var column = 0
                for part in parts {
                    result.matrix[rows: place..<place + held.count][columns: column..<column + part.shape[1]].copy(
                        from: part.matrix)
                    column += part.shape[1]
                }
            }
        }
        return results
    }

    /// [rows, all else].
    private func flat(_ value: Tensor, rows: Int) -> Tensor {
        value.reshaped([rows, value.shape.dropFirst().reduce(1, *)])
    }
}
