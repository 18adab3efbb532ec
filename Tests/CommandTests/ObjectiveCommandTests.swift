import Datasets
import Foundation
import XCTest

/// `objective` against the losses as they are written down, over all scores in Double.
final class ObjectiveCommandTests: CommandTestCase {
    private let images = 5, locations = 3, width = 4

    private struct Dense {
        var loss = 0.0
        let mutualInformation: Double?
        /// By the score of global i with location p of image j: [i][j][p].
        var slopes: [[[Double]]]
    }

    private var locals: [Float] { (0..<images * locations * width).map { Float(sin(Double($0) * 1.7) * 1.5) } }
    private var globals: [Float] { (0..<images * width).map { Float(cos(Double($0) * 2.3 + 1)) } }

    private func row(_ values: [Float], _ index: Int) -> [Double] {
        values[index * width..<(index + 1) * width].map(Double.init)
    }

    /// u[i][j][p] = <global i, location p of image j>
    private func scores(_ locals: [Float], _ globals: [Float]) -> [[[Double]]] {
        (0..<images).map { i in
            (0..<images).map { j in
                (0..<locations).map { p in
                    zip(row(globals, i), row(locals, j * locations + p)).reduce(0) { $0 + $1.0 * $1.1 }
                }
            }
        }
    }

    private func dense(_ estimator: String, _ anchor: String, _ u: [[[Double]]]) -> Dense {
        let (n, m) = (0..<images, 0..<locations)
        let pairs = Double(images * locations)
        let zeros = n.map { _ in n.map { _ in m.map { _ in 0.0 } } }
        switch (estimator, anchor) {
        case ("infoNCE", "global"):
            var result = Dense(mutualInformation: nil, slopes: zeros)
            for i in n {
                for p in m {
                    let others = n.filter { $0 != i }
                    let sum = exp(u[i][i][p]) + others.reduce(0) { $0 + u[i][$1].reduce(0) { $0 + exp($1) } }
                    result.loss += (log(sum) - u[i][i][p]) / pairs
                    result.slopes[i][i][p] += (exp(u[i][i][p]) / sum - 1) / pairs
                    for j in others { for q in m { result.slopes[i][j][q] += exp(u[i][j][q]) / sum / pairs } }
                }
            }
            let bound = log(Double(1 + (images - 1) * locations)) - result.loss
            return Dense(loss: result.loss, mutualInformation: bound, slopes: result.slopes)
        case ("infoNCE", _):
            var result = Dense(mutualInformation: nil, slopes: zeros)
            for j in n {
                for p in m {
                    let sum = n.reduce(0) { $0 + exp(u[$1][j][p]) }
                    result.loss += (log(sum) - u[j][j][p]) / pairs
                    for i in n { result.slopes[i][j][p] = (exp(u[i][j][p]) / sum - (i == j ? 1 : 0)) / pairs }
                }
            }
            return Dense(
                loss: result.loss, mutualInformation: log(Double(images)) - result.loss, slopes: result.slopes)
        default:
            var result = Dense(mutualInformation: nil, slopes: zeros)
            let negatives = pairs * Double(images - 1)
            for i in n {
                for j in n {
                    for p in m {
                        let score = u[i][j][p]
                        if i == j {
                            result.loss -= (log(2) - log(1 + exp(-score))) / pairs
                            result.slopes[i][j][p] = -1 / (1 + exp(score)) / pairs
                        } else {
                            result.loss += (log(1 + exp(score)) - log(2)) / negatives
                            result.slopes[i][j][p] = 1 / (1 + exp(-score)) / negatives
                        }
                    }
                }
            }
            return result
        }
    }

    private func write(_ locals: [Float], _ globals: [Float]) throws {
        try NumPyArray.write(path: path("locals.npy"), shape: [images, locations, width], values: locals)
        try NumPyArray.write(path: path("globals.npy"), shape: [images, width], values: globals)
    }

    private func arguments(_ more: [String]) -> [String] {
        ["objective", "--locals", path("locals.npy"), "--globals", path("globals.npy")] + more
    }

    private func report(_ more: [String]) throws -> [String: Any] {
        let output = try succeed(arguments(more))
        XCTAssertEqual(output.split(separator: "\n").count, 1, output)
        let object = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
        let report = try XCTUnwrap(object)
        XCTAssertEqual(
            Set(report.keys), ["estimator", "loss", "mutual_information", "images", "world_size"])
        return report
    }

    private let kinds = [("infoNCE", "global"), ("infoNCE", "local"), ("jensenShannon", "global")]

    func testLossAndGradientsAreThoseOfTheDefinition() throws {
        try write(locals, globals)
        for (estimator, anchor) in kinds {
            let u = scores(locals, globals)
            let expected = dense(estimator, anchor, u)
            for ranks in [1, 3] {
                let label = "\(estimator) \(anchor), \(ranks) ranks"
                let gradients = path("gradients \(label)")
                let report = try report(
                    ["--estimator", estimator, "--anchor", anchor, "--gradients", gradients] + Self.threads(ranks))
                XCTAssertEqual(report["estimator"] as? String, estimator)
                XCTAssertEqual(report["images"] as? Int, images)
                XCTAssertEqual(report["world_size"] as? Int, ranks)
                XCTAssertEqual(report["loss"] as? Double ?? .nan, expected.loss, accuracy: 1e-6, label)
                if let bound = expected.mutualInformation {
                    XCTAssertEqual(report["mutual_information"] as? Double ?? .nan, bound, accuracy: 1e-6, label)
                } else {
                    XCTAssertTrue(report["mutual_information"] is NSNull, label)
                }
                try assertGradients(in: gradients, expected.slopes, label)
            }
        }
    }

    /// d u[i][j][p] / d global i is the local, and the other way round.
    private func assertGradients(in folder: String, _ slopes: [[[Double]]], _ label: String) throws {
        let byGlobals = try NumPyArray(path: folder + "/globals.npy")
        let byLocals = try NumPyArray(path: folder + "/locals.npy")
        XCTAssertEqual(byGlobals.shape, [images, width])
        XCTAssertEqual(byLocals.shape, [images, locations, width])
        let (foundGlobals, foundLocals) = (
            try byGlobals.read(rows: 0..<images), try byLocals.read(rows: 0..<images)
        )
        for k in 0..<width {
            for i in 0..<images {
                var expected = 0.0
                for j in 0..<images {
                    for p in 0..<locations { expected += slopes[i][j][p] * row(locals, j * locations + p)[k] }
                }
                XCTAssertEqual(Double(foundGlobals[i * width + k]), expected, accuracy: 1e-6, "\(label), global \(i)")
            }
            for j in 0..<images {
                for p in 0..<locations {
                    let expected = (0..<images).reduce(0) { $0 + slopes[$1][j][p] * row(globals, $1)[k] }
                    let found = Double(foundLocals[(j * locations + p) * width + k])
                    XCTAssertEqual(found, expected, accuracy: 1e-6, "\(label), local \(j), \(p)")
                }
            }
        }
    }

    /// The losses of a critic that is always 0, which are known without computing.
    func testScoresOfZero() throws {
        try write(locals.map { _ in 0 }, globals)
        let losses = [log(Double(1 + (images - 1) * locations)), log(Double(images)), 0]
        for ((estimator, anchor), expected) in zip(kinds, losses) {
            let report = try report(["--estimator", estimator, "--anchor", anchor])
            XCTAssertEqual(report["loss"] as? Double ?? .nan, expected, accuracy: 1e-7, "\(estimator) \(anchor)")
        }
    }

    func testFloat64IsRoundedWithALine() throws {
        try write(locals, globals)
        let expected = try report(["--estimator", "infoNCE"])["loss"] as? Double
        try writeArray("locals.npy", "<f8", [images, locations, width], locals.map { Double($0) })
        for ranks in [1, 3] {
            let result = try run(arguments(Self.threads(ranks)))
            let lines = result.errors.split(separator: "\n")
            XCTAssertEqual(
                lines.filter {
                    $0.contains(
                        "locals.npy: its float64 numbers are rounded to "
                            + "float32")
                }.count, 1)
            let found = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
            XCTAssertEqual(found?["loss"] as? Double ?? 0, expected ?? 1, accuracy: 1e-6)
        }
    }

    func testBadInputIsRefused() throws {
        try write(locals, globals)
        try assertRefused(arguments(["--estimator", "nce"]), ["--estimator is nce", "infoNCE, jensenShannon"])
        try assertRefused(arguments(["--anchor", "all"]), ["--anchor is all", "global, local, both"])
        try assertRefused(arguments(["--estimator", "nwj", "--anchor", "local"]), ["--anchor local", "only infoNCE"])
        try assertRefused(
            arguments(["--estimator", "nwj", "--compat", "published"]), ["--compat published", "infoNCE"])
        try assertRefused(["objective", "--locals", path("locals.npy")], ["--globals is missing"])
        try assertRefused(
            ["objective", "--locals", path("none.npy"), "--globals", path("globals.npy")], [path("none.npy")])
        try Data().write(to: URL(fileURLWithPath: path("file")))
        try assertRefused(arguments(["--gradients", path("file")]), [path("file"), "can't be made"])

        func refused(_ localShape: [Int], _ globalShape: [Int], _ texts: [String], line: UInt = #line) throws {
            try NumPyArray.write(
                path: path("locals.npy"), shape: localShape, values: Array(repeating: 1, count: localShape.reduce(1, *))
            )
            try NumPyArray.write(
                path: path("globals.npy"), shape: globalShape,
                values: Array(repeating: 1, count: globalShape.reduce(1, *)))
            try assertRefused(arguments([]), texts, line: line)
        }
        try refused([5, 3, 4], [5, 3], [path("globals.npy"), "[5, 3]", "[5, 4]"])
        try refused([5, 3, 4], [4, 4], [path("globals.npy"), "[4, 4]", "[5, 4]"])
        try refused([5, 12], [5, 12], [path("locals.npy"), "[5, 12]"])
        try refused([1, 3, 4], [1, 4], [path("locals.npy"), "[1, 3, 4]", "2 images"])

        for value in [Float.nan, .infinity] {
            for ranks in [1, 3] {
                var bad = locals
                bad[bad.count - 1] = value
                try write(bad, globals)
                try assertRefused(arguments(Self.threads(ranks)), [path("locals.npy"), "not finite"])
                bad = globals
                bad[0] = -value
                try write(locals, bad)
                try assertRefused(arguments(Self.threads(ranks)), [path("globals.npy"), "not finite"])
            }
        }
    }
}
