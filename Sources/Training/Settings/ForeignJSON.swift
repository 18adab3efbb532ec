import Foundation

extension JSONDecoder {
    /// A value from bytes that may be damaged, or of others. Throws where they are not JSON, or of another shape.
    ///
    /// Foundation of Swift 6.0 ends the process over an object with a key that isn't well written, where it is read member
    /// by member; as a dictionary, which `JSONValue` reads first, it throws.
    package func decodeForeign<Value: Decodable>(_ type: Value.Type, from data: Data) throws -> Value {
        _ = try decode(JSONValue.self, from: data)
        return try decode(type, from: data)
    }
}
