import Foundation
import Objectives

/// The critics as published, every map on its own, in Double: no folding, no moments, no blocks of pairs.
struct DirectCritic {
    /// By the names in the program, without what they open with.
    var weights: [String: [Double]]
    let channels: Int, code: Int, units: Int
    let settings: CriticSettings
    private static let epsilon = 1e-5

    private func weight(_ name: String) -> [Double] { weights[name] ?? [] }

    private func linear(_ x: [Double], _ weight: [Double], bias: [Double]) -> [Double] {
        let outputs = weight.count / x.count
        return (0..<outputs).map { u in
            x.indices.reduce(bias.isEmpty ? 0 : bias[u]) { $0 + weight[u * x.count + $1] * x[$1] }
        }
    }

    /// Mean 0 and variance 1 over the elements, then scale and shift.
    private func layerNorm(_ x: [Double], _ name: String) -> [Double] {
        let centre = mean(x)
        let deviation = (mean(x.map { ($0 - centre) * ($0 - centre) }) + Self.epsilon).squareRoot()
        let (scale, shift) = (weight("\(name).weight"), weight("\(name).bias"))
        return x.indices.map { (x[$0] - centre) / deviation * scale[$0] + (shift.isEmpty ? 0 : shift[$0]) }
    }

    /// rows [R, width] to [R, units]: linear, batch norm, ReLU, linear, plus a linear shortcut.
    private func map(_ rows: [[Double]], _ name: String) -> [[Double]] {
        let first = rows.map { linear($0, weight("\(name).first.weight"), bias: []) }
        let (scale, shift) = (weight("\(name).norm.weight"), weight("\(name).norm.bias"))
        let centre = (0..<units).map { u in mean(first.map { $0[u] }) }
        let variance = (0..<units).map { u in
            mean(first.map { row in (row[u] - centre[u]) * (row[u] - centre[u]) })
        }
        return zip(rows, first).map { row, hidden in
            let rectified = (0..<units).map { u in
                let normal: Double = (hidden[u] - centre[u]) / (variance[u] + Self.epsilon).squareRoot()
                return max(normal * scale[u] + shift[u], 0)
            }
            let last = linear(rectified, weight("\(name).last.weight"), bias: weight("\(name).last.bias"))
            let sum = zip(last, linear(row, weight("\(name).shortcut.weight"), bias: [])).map { $0 + $1 }
            return settings.normalisation == .layerNorm ? layerNorm(sum, "\(name).layer_norm") : sum
        }
    }

    /// Two hidden layers over one pair.
    private func pair(_ local: [Double], _ global: [Double]) -> Double {
        func rectified(_ x: [Double], _ norm: String) -> [Double] {
            (settings.normalisation == .layerNorm ? layerNorm(x, norm) : x).map { max($0, 0) }
        }
        let first = zip(
            linear(local, weight("first.local_weight"), bias: weight("first.bias")),
            linear(global, weight("first.global_weight"), bias: [])
        ).map { $0 + $1 }
        let second = linear(
            rectified(first, "first_norm"), weight("second.weight"), bias: weight("second.bias"))
        return linear(rectified(second, "second_norm"), weight("last.weight"), bias: weight("last.bias"))[0]
    }

    /// score[i][j][p] of locals [N·M][C] with codes [N][K].
    func scores(locals: [[Double]], codes: [[Double]]) -> [[[Double]]] {
        let (images, locations) = (codes.count, locals.count / codes.count)
        func table(_ score: (_ row: Int, _ i: Int) -> Double) -> [[[Double]]] {
            (0..<images).map { i in (0..<images).map { j in (0..<locations).map { score(j * locations + $0, i) } } }
        }
        switch settings.kind {
        case .separable:
            let (rows, columns) = (map(locals, "local"), map(codes, "global"))
            return table { r, i in zip(rows[r], columns[i]).reduce(0) { $0 + $1.0 * $1.1 } }
        case .concatenated: return table { r, i in pair(locals[r], codes[i]) }
        }
    }
}
