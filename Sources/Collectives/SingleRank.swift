import Foundation

/// A world of one: every collective is the identity.
package final class SingleRank: Ranks {
    package let rank = 0
    package let worldSize = 1
    package let host = ProcessInfo.processInfo.hostName

    package init() {}

    package func barrier() {}
    package func sum(_ values: UnsafeMutableBufferPointer<Float>) {}
    package func sum(_ values: UnsafeMutableBufferPointer<Double>) {}
    package func maximum(_ values: UnsafeMutableBufferPointer<Float>) {}
    package func gather(_ part: UnsafeRawBufferPointer, counts: [Int], into whole: UnsafeMutableRawBufferPointer) {
        whole.copyMemory(from: part)
    }
    package func sumScattered(
        _ whole: UnsafeBufferPointer<Float>, counts: [Int], into slice: UnsafeMutableBufferPointer<Float>
    ) {
        _ = slice.update(from: whole)
    }
    package func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) {}
    package func node(sharing once: Int, each: Int) -> any Node { LoneNode() }
    package func abort(status: Int32) -> Never { exit(status) }
}
