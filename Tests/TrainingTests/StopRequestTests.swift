import Foundation
import Testing

@testable import Training

struct StopRequestTests {
    /// The signal would end the tests if it weren't taken over.
    @Test func aSignalIsARequest() throws {
        let request = StopRequest(signals: [SIGUSR1])
        let other = StopRequest(signals: [])
        #expect(!request.isMade)
        #expect(kill(getpid(), SIGUSR1) == 0)
        let deadline = ContinuousClock.now + .seconds(10)
        while !request.isMade && ContinuousClock.now < deadline { usleep(1000) }
        #expect(request.isMade)
        #expect(!other.isMade)
    }
}
