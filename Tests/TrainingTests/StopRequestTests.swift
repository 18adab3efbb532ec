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
        let deadline = ContinuousClock.now + .seconds(300)  // the thread that takes it may wait for a core
        while !request.isMade && ContinuousClock.now < deadline { usleep(1000) }
        #expect(request.isMade)
        #expect(!other.isMade)
    }

    /// `nohup dim-dist train …` means that the end of its terminal is nothing to it.
    @Test func whatIsIgnoredStaysIgnored() {
        signal(SIGHUP, SIG_IGN)
        defer { signal(SIGHUP, SIG_DFL) }
        let request = StopRequest(signals: [SIGHUP])
        #expect(kill(getpid(), SIGHUP) == 0)
        usleep(20_000)
        #expect(!request.isMade)
    }
}
