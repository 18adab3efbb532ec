/// Values of consecutive images that don't change, in memory or in a mapped file.
package enum StoredValues<Value: BitwiseCopyable & Equatable & Sendable>: Equatable, Sendable {
    case array([Value])
    /// Whole values, in this processor's byte order, at a multiple of their size.
    case mapped(FileMapping)

    package var count: Int {
        switch self {
        case .array(let values): values.count
        case .mapped(let mapping): mapping.bytes.count / MemoryLayout<Value>.stride
        }
    }

    /// Calls `body` with all values. They stay at the same addresses while this value exists.
    package func withUnsafeBufferPointer<Result>(
        _ body: (UnsafeBufferPointer<Value>) throws -> Result
    ) rethrows -> Result {
        switch self {
        case .array(let values): try values.withUnsafeBufferPointer(body)
        case .mapped(let mapping):
            try withExtendedLifetime(mapping) { try body(mapping.bytes.bindMemory(to: Value.self)) }
        }
    }

    package static func == (a: StoredValues, b: StoredValues) -> Bool {
        a.withUnsafeBufferPointer { a in b.withUnsafeBufferPointer { b in a.elementsEqual(b) } }
    }
}

extension Pixels {
    /// The mapped file; nil for values in memory.
    private var mapping: FileMapping? {
        switch self {
        case .bytes(.mapped(let mapping)), .floats(.mapped(let mapping)): mapping
        case .bytes(.array), .floats(.array): nil
        }
    }

    var isMapped: Bool { mapping != nil }

    /// Calls `body` with all values as in a file.
    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        switch self {
        case .bytes(let values): try values.withUnsafeBufferPointer { try body(UnsafeRawBufferPointer($0)) }
        case .floats(let values): try values.withUnsafeBufferPointer { try body(UnsafeRawBufferPointer($0)) }
        }
    }

    /// Tells the system that images will be used in random order.
    func expectRandomOrder() { mapping?.expectRandomOrder() }

    /// Lets the system read these bytes from now on, without waiting for them.
    func prefetch(bytes: Range<Int>) { mapping?.prefetch(bytes) }
}
