import Collectives
import Foundation

/// A part of a file in this process's addresses, to be read only.
///
/// A page is read from the disk when it is first used. All processes of a machine share one copy of it, in the system's
/// page cache. If memory is short, the system drops pages and reads them again later. So the part may be larger than
/// the memory.
///
/// The file must keep its size while it is mapped: the use of bytes that are no longer there, or that the disk can't
/// read, ends the process by SIGBUS.
package final class FileMapping: @unchecked Sendable {  // nothing writes to the memory
    let bytes: UnsafeRawBufferPointer
    /// Whole pages around the bytes; empty where there are no bytes.
    private let pages: UnsafeMutableRawBufferPointer

    private static let pageSize = Int(getpagesize())

    /// C: `mmap`. A private mapping that nobody writes shares its pages as a shared one does, and more file systems
    /// have it.
    /// - Throws: `InputError` where the file has fewer bytes.
    init(_ path: String, _ range: Range<Int>) throws {
        let file = try SystemFile(path, .read)
        let size = try file.size()
        guard range.upperBound <= size else {
            throw InputError("\(path): has \(size) bytes, expected at least \(range.upperBound)")
        }
        let first = range.lowerBound / Self.pageSize * Self.pageSize
        guard !range.isEmpty else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            pages = UnsafeMutableRawBufferPointer(start: nil, count: 0)
            return
        }
        let count = range.upperBound - first
        guard let start = mmap(nil, count, PROT_READ, MAP_PRIVATE, file.descriptor, first), start != MAP_FAILED else {
            throw InputError("\(path): \(count) bytes of it can't be mapped: \(systemReason())")
        }
        pages = UnsafeMutableRawBufferPointer(start: start, count: count)
        bytes = UnsafeRawBufferPointer(rebasing: pages[(range.lowerBound - first)...])
    }

    deinit { if let start = pages.baseAddress { munmap(start, pages.count) } }

    /// Tells the system that parts will be used in random order. Otherwise it reads 128 KiB or more around each page
    /// that is missing. C: `madvise`.
    func expectRandomOrder() { if let start = pages.baseAddress { madvise(start, pages.count, MADV_RANDOM) } }

    /// Lets the system read some of the bytes from now on, without waiting for them. C: `madvise`.
    func prefetch(_ range: Range<Int>) {
        guard let start = pages.baseAddress, !range.isEmpty else { return }
        let offset = pages.count - bytes.count
        let first = (offset + range.lowerBound) / Self.pageSize * Self.pageSize
        madvise(start + first, offset + range.upperBound - first, MADV_WILLNEED)
    }
}
