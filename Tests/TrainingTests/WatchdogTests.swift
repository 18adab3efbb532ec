import Collectives
import Foundation
import Synchronization
import Testing

@testable import Training

@Suite struct WatchdogTests {
    @Test func callsAreCountedAndTimed() throws {
        let ranks = WatchedRanks(SingleRank())
        ranks.activity.begin(step: 7)
        #expect(ranks.activity.now.calls == 0 && ranks.activity.now.call == nil && ranks.activity.now.step == 7)
        let inside = ranks.waiting("meeting") {
            usleep(20_000)
            return ranks.activity.now
        }
        #expect(inside.calls == 1 && inside.call == "meeting")
        #expect(ranks.activity.now.calls == 1 && ranks.activity.now.call == nil)
        #expect(ranks.activity.now.waited >= .milliseconds(20))
        _ = try ranks.gather(3)
        #expect(ranks.activity.now.calls == 2)
    }

    @Test func aLineSaysWhoWaitsForWhom() throws {
        let hosts = ["a", "a", "b", "b", "c"]
        func report(_ rank: Int, _ calls: Int, _ call: String?) -> Watchdog.Report {
            Watchdog.Report(rank: rank, step: 4, calls: calls, call: call, seconds: 31.4)
        }
        let line = Watchdog.description(
            report(0, 9, "sum"),
            reports: [report(0, 9, "sum"), report(1, 9, "sum"), report(2, 8, nil), report(3, 9, "sum"), nil],
            hosts: hosts)
        #expect(
            line
                == "step 5 stands still: ranks 0-1, 3 wait in collective 9, sum, for 31 s (--stall-timeout); not "
                + "there: "
                + "rank 2 on b (computing after call 8, for 31 s), rank 4 on c (no report: stopped, dead or cut off)"
        )
        let all = Watchdog.description(report(0, 9, "sum"), reports: [report(0, 9, "sum")], hosts: ["a"])
        #expect(all.contains("rank 0 waits in") && all.contains("all ranks wait"))
        let alone = Watchdog.description(
            report(2, 9, "sum"), reports: [nil, nil, report(2, 9, "sum")], hosts: hosts, unwritten: "run/stalled/1")
        #expect(
            alone.contains("rank 2 waits in collective 9")
                && alone.hasSuffix(
                    "because run/stalled/1 can't be "
                        + "written")
        )
        #expect(!alone.contains("rank 0"))
        // Before it stopped, rank 1 had sent enough of sum 9 for rank 2, but not for rank 0.
        let apart = Watchdog.description(
            report(0, 9, "sum"), reports: [report(0, 9, "sum"), nil, report(2, 10, "sum")], hosts: hosts)
        #expect(apart.contains("rank 0 waits in collective 9, sum, rank 2 waits in collective 10, sum, for"))
        #expect(apart.hasSuffix("not there: rank 1 on a (no report: stopped, dead or cut off)"))
    }

    /// One rank of three computes for ever, one comes late to the call before but isn't blamed.
    @Test func whoIsWaitedForTooLongIsNamed() throws {
        let folder = try TemporaryFolder()
        let reported = Mutex<[Int: String?]>([:])
        let isTold = DispatchSemaphore(value: 0)
        try ThreadRank.run(3) { ranks in
            let watched = WatchedRanks(ranks)
            let rank = ranks.rank
            let watchdog = Watchdog(
                watched.activity, rank: ranks.rank, hosts: ["x", "y", "z"], folder: folder.path + "/stalled", timeout: 2
            ) { message in
                reported.withLock { $0[rank] = .some(message) }
                isTold.signal()
            }
            if ranks.rank == 2 { usleep(1_500_000) }  // slow, and not too slow
            try watched.barrier()
            if ranks.rank == 1 {  // the others wait for it until they have reported
                for _ in 0..<2 { #expect(isTold.wait(timeout: .now() + 20) == .success) }
            }
            try watched.barrier()
            watchdog.stop()
        }
        let messages = reported.withLock { $0 }
        #expect(messages.keys.sorted() == [0, 2])
        // The lower of them, or both where one hadn't read of the other yet.
        let line = try #require((messages[0] ?? nil) ?? (messages[2] ?? nil))
        #expect(line.contains("ranks 0, 2 wait in collective 2, barrier"), "\(line)")
        #expect(line.contains("rank 1 on y (computing after call 1"), "\(line)")
    }

    @Test func theSlowestIsToldFromTheOthers() {
        let hosts = ["a", "b", "c", "d"]
        let even = SlowRanks.comparison(nanoseconds: [600_000, 610_000, 750_000, 605_000], hosts: hosts)
        #expect(even.rank == 2 && !even.isSlow)
        let slow = SlowRanks.comparison(nanoseconds: [600_000, 2_100_000, 0, 610_000], hosts: hosts)
        #expect(slow.rank == 1 && slow.host == "b" && slow.isSlow)
        #expect(slow.slowest == 2.1 && slow.median == 0.61)
        #expect(!SlowRanks.comparison(nanoseconds: [10_000, 30_000], hosts: hosts).isSlow)  // next to nothing is noise
    }
}
