import Collectives
import Foundation
import MPI
import XCTest

/// The ranks that these tests run on: those of mpirun, or one when run alone. MPI starts once a process.
enum World {
    nonisolated(unsafe) static let ranks: MPIRanks = {
        do {
            let ranks = try MPIRanks()
            atexit { try? World.ranks.finalize() }
            return ranks
        } catch { fatalError("MPI does not start: \(error)") }
    }()

    /// The beginning of a failure message.
    static var label: String { "rank \(ranks.rank) of \(ranks.worldSize)" }

    /// How `total` images are spread here: unevenly, and with none on the last of three or more ranks.
    static func shares(of total: Int) -> [Int] {
        let size = ranks.worldSize
        let holders = size >= 3 ? size - 1 : size
        return (0..<size).map { $0 < holders ? total * ($0 + 1) / holders - total * $0 / holders : 0 }
    }
}

/// |a - b| / |b|, in the Euclidean norm.
func relativeDistance(_ a: [Float], _ b: [Double]) -> Double {
    let difference = zip(a, b).reduce(0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
    let norm = b.reduce(0) { $0 + $1 * $1 }
    return norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
}

func relativeDistance(_ a: [Float], _ b: [Float]) -> Double { relativeDistance(a, b.map(Double.init)) }
