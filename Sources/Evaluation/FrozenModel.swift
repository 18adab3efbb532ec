import Autodiff
import Collectives
import Datasets
import Tensors
import Training

/// Layers of a method whose outputs are joined as features: `fc+code`.
package struct LayerJoin<Layer: RawRepresentable & CaseIterable & Hashable & Sendable>: Hashable, Sendable
where Layer.RawValue == String {
    /// At least one.
    package let layers: [Layer]

    /// The name as written: `fc+code`.
    package var name: String { layers.map(\.rawValue).joined(separator: "+") }

    /// - Parameter text: names of layers with `+` between them.
    /// - Throws: `InputError` on an unknown layer, or one that is named twice.
    package init(_ text: String, option: String) throws {
        layers = try text.split(separator: "+", omittingEmptySubsequences: false).map { word in
            guard let layer = Layer(rawValue: String(word)) else {
                throw InputError(
                    "\(option) is \(text): it must be one of \(Self.names), or several joined by +")
            }
            return layer
        }
        guard Set(layers).count == layers.count else {
            throw InputError("\(option) is \(text): a layer is named twice, name it once")
        }
    }

    /// A list with commas between its parts.
    package static func list(_ text: String, option: String) throws -> [LayerJoin] {
        let joins = try text.split(separator: ",", omittingEmptySubsequences: false).map {
            try LayerJoin(String($0), option: option)
        }
        for (index, join) in joins.enumerated() where joins[..<index].contains(join) {
            throw InputError("\(option) is \(text): \(join.name) is given twice, give it once")
        }
        return joins
    }

    /// The names of all layers, with commas between them.
    package static var names: String { Layer.allCases.map(\.rawValue).joined(separator: ", ") }
}

/// A model that is used without training, with the batch statistics of its training.
package struct FrozenModel<M: Method> {
    private let model: Model<M>
    /// Samples that pass the networks at a time.
    private static var block: Int { 256 }

    package init(_ model: Model<M>) { self.model = model }

    /// Features of this rank's samples, in order: a tensor [own, width] for each join. Of several parts of a sample it is
    /// their mean. Not collective.
    package func features(
        of rows: EvaluationRows<M.Source.Batch>, _ joins: [LayerJoin<M.Layer>]
    ) throws -> [Tensor] {
        let (device, own) = (model.device, rows.samples.own)
        let layers = Array(Set(joins.flatMap(\.layers)))
        var results: [Tensor] = []
        // A rank without samples has one empty block, which gives the widths.
        let end = max(own.upperBound, own.lowerBound + 1)
        let block = max(1, Self.block / rows.parts)
        for start in stride(from: own.lowerBound, to: end, by: block) {
            let held = start..<min(start + block, own.upperBound)
            let tape = Tape(
                device: device, ranks: SingleRank(), shares: Shares(counts: [held.count], rank: 0), mode: .evaluation)
            let values = try model.method.features(tape, rows.batch(Array(held), device), layers).map(\.value)
            let matrices = Dictionary(
                uniqueKeysWithValues: zip(layers, values.map { mean($0, rows: held.count, parts: rows.parts) }))
            let parts = joins.map { join in join.layers.compactMap { matrices[$0] } }
            if results.isEmpty {
                results = parts.map { device.tensor([own.count, $0.reduce(0) { $0 + $1.shape[1] }]) }
            }
            let first = start - own.lowerBound
            for (result, parts) in zip(results, parts) {
                var column = 0
                for part in parts {
                    result.matrix[rows: first..<first + held.count][columns: column..<column + part.shape[1]].copy(
                        from: part.matrix)
                    column += part.shape[1]
                }
            }
        }
        return results
    }

    /// The mean over parts, [parts·rows, …] to [rows, all else].
    private func mean(_ value: Tensor, rows: Int, parts: Int) -> Tensor {
        let width = value.shape.dropFirst().reduce(1, *)
        let sum = value.view(from: 0, shape: [rows, width])
        guard parts > 1 else { return sum }
        for part in 1..<parts { sum.add(value.view(from: part * rows * width, shape: [rows, width])) }
        sum.scale(by: 1 / Float(parts))
        return sum
    }
}
