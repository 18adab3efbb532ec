import Foundation

extension JSONDecoder {
    /// A value from bytes that may be damaged, or of others. Throws where they are not JSON, or of another shape.
    ///
    /// Foundation of Swift 6.0 ends the process over an object with a key that isn't well written. Its older reader throws.
    package func decodeForeign<Value: Decodable>(_ type: Value.Type, from data: Data) throws -> Value {
        _ = try JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed)
        return try decode(type, from: data)
    }
}
