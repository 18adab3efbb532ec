// The losses written down as in the papers, over the whole score tensor in Double: what the streaming versions are
// held against. Gradients by central differences of these, so that no rule is checked against itself.

import Foundation
import Objectives

/// Local maps [N, M, d] and globals [N, d] in Double.
struct DenseBatch {
    let images: Int, locations: Int, dimensions: Int
    var locals: [Double]
    var globals: [Double]

    /// <global i, local (j, p)>
    func score(_ i: Int, _ j: Int, _ p: Int) -> Double {
        (0..<dimensions).reduce(0) {
            $0 + globals[i * dimensions + $1] * locals[(j * locations + p) * dimensions + $1]
        }
    }

    func loss(_ estimator: Estimator, _ anchor: Anchor) -> Double {
        let (n, m) = (0..<images, 0..<locations)
        let scores = n.map { i in n.map { j in m.map { score(i, j, $0) } } }
        switch (estimator, anchor) {
        case (.infoNCE, .global):
            // -log e^u_iip / (e^u_iip + sum over j ≠ i and p' of e^u_ijp')
            return mean(
                n.flatMap { i in
                    m.map { p in
                        logSumExp([scores[i][i][p]] + n.filter { $0 != i }.flatMap { scores[i][$0] }) - scores[i][i][p]
                    }
                })
        case (.infoNCE, .local):
            return mean(
                n.flatMap { j in m.map { p in logSumExp(n.map { scores[$0][j][p] }) - scores[j][j][p] } })
        case (.jensenShannon, _):
            let positive = n.flatMap { i in m.map { log(2) - softplus(-scores[i][i][$0]) } }
            let negative = n.flatMap { i in
                n.filter { $0 != i }.flatMap { j in m.map { softplus(scores[i][j][$0]) - log(2) } }
            }
            return mean(negative) - mean(positive)
        }
    }

    /// By the locals and by the globals, by central differences.
    func gradients(_ estimator: Estimator, _ anchor: Anchor) -> (locals: [Double], globals: [Double]) {
        var batch = self
        let step = 1e-5
        func slope(_ path: WritableKeyPath<DenseBatch, [Double]>, _ index: Int) -> Double {
            let value = batch[keyPath: path][index]
            batch[keyPath: path][index] = value + step
            let above = batch.loss(estimator, anchor)
            batch[keyPath: path][index] = value - step
            let below = batch.loss(estimator, anchor)
            batch[keyPath: path][index] = value
            return (above - below) / (2 * step)
        }
        return (locals.indices.map { slope(\.locals, $0) }, globals.indices.map { slope(\.globals, $0) })
    }
}

func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }

func logSumExp(_ values: [Double]) -> Double {
    let largest = values.max() ?? 0
    return largest + log(values.reduce(0) { $0 + exp($1 - largest) })
}

func softplus(_ x: Double) -> Double { max(x, 0) + log1p(exp(-abs(x))) }

/// The critic as published, every map on its own, in Double: no folding, no moments.
struct DirectCritic {
    var weights: [String: [Double]]
    let channels: Int, code: Int, units: Int
    static let epsilon = 1e-5

    /// rows [R, width] to [R, units]: linear, batch norm, ReLU, linear, plus a linear shortcut.
    private func map(_ rows: [[Double]], _ name: String) -> [[Double]] {
        func linear(_ x: [Double], _ weight: [Double], bias: [Double]? = nil) -> [Double] {
            var result = bias ?? Array(repeating: 0, count: units)
            for u in 0..<units {
                for c in x.indices { result[u] += weight[u * x.count + c] * x[c] }
            }
            return result
        }
        func weight(_ part: String) -> [Double] { weights["critic.\(name).\(part)"] ?? [] }
        let first = rows.map { linear($0, weight("first.weight")) }
        let (scale, shift) = (weight("norm.weight"), weight("norm.bias"))
        let centre = (0..<units).map { u in mean(first.map { $0[u] }) }
        let variance = (0..<units).map { u in
            mean(
                first.map { row in
                    let distance = row[u] - centre[u]
                    return distance * distance
                })
        }
        return zip(rows, first).map { row, hidden in
            let rectified = (0..<units).map { u in
                let normal: Double = (hidden[u] - centre[u]) / (variance[u] + Self.epsilon).squareRoot()
                return max(normal * scale[u] + shift[u], 0)
            }
            let last = linear(rectified, weight("last.weight"), bias: weights["critic.\(name).last.bias"])
            return zip(last, linear(row, weight("shortcut.weight"))).map { $0 + $1 }
        }
    }

    /// - Parameters:
    ///   - locals: [N·M][C]
    ///   - codes: [N][K]
    func loss(locals: [[Double]], codes: [[Double]], _ estimator: Estimator, _ anchor: Anchor) -> Double {
        DenseBatch(
            images: codes.count, locations: locals.count / codes.count, dimensions: units,
            locals: map(locals, "local").flatMap { $0 }, globals: map(codes, "global").flatMap { $0 }
        ).loss(estimator, anchor)
    }
}
