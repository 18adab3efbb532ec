import Foundation

extension JSONDecoder {
    /// A value from bytes that may be damaged, or written by another program. Throws where they are not JSON, or of
    /// another shape.
    ///
    /// Foundation's JSONDecoder of Swift 6.0 ends the process at an object with a malformed key. Its older reader
    /// throws.
    package func decodeForeign<Value: Decodable>(_ type: Value.Type, from data: Data) throws -> Value {
        _ = try JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed)
        return try decode(type, from: data)
    }
}
