import Foundation
import Testing

@Suite struct GradientTests {
    @Test(arguments: Operation.allCases)
    func agreesWithFiniteDifferences(operation: Operation) throws {
        #expect(!operation.examples.isEmpty)
        for example in operation.examples { try GradientCheck(example)() }
    }

    @Test func everyOperationHasExamples() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let folder = root.appending(path: "Sources/Autodiff")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        var found: [String] = []
        for file in files where file.pathExtension == "swift" {
            let text = try String(contentsOf: file, encoding: .utf8)
            guard text.contains("extension Tape") else { continue }
            found += text.matches(of: /package func (\w+)/).map { String($0.1) }
        }
        #expect(found.sorted() == Operation.allCases.map(\.rawValue).sorted())
    }
}
