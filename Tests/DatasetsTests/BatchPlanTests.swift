import Testing

@testable import Datasets

struct BatchPlanTests {
    private func plan(_ images: Int, _ batch: Int, shards: Int? = nil, seed: UInt64 = 3) throws -> BatchPlan {
        try BatchPlan(shards: VirtualShards(imageCount: images, count: shards), batch: batch, seed: seed)
    }

    /// The ranks' lists of one step, joined.
    private func whole(_ plan: inout BatchPlan, _ step: Int, _ worldSize: Int) -> [Int] {
        (0..<worldSize).flatMap { plan.indices(step: step, rank: $0, worldSize: worldSize) }
    }

    @Test(arguments: [(1000, 96, 64), (1000, 100, 64), (777, 13, 8), (23, 5, 16), (64, 3, 8), (9, 9, 8), (50, 17, 32)])
    func batchesDoNotDependOnWorldSize(images: Int, batch: Int, shards: Int) throws {
        var plan = try plan(images, batch, shards: shards)
        for step in 0..<min(2 * plan.stepsPerEpoch + 1, 60) {
            let alone = plan.indices(step: step, rank: 0, worldSize: 1)
            #expect(alone.count == batch)
            for worldSize in [1, 2, 3, 4, 5, 8] {
                #expect(whole(&plan, step, worldSize) == alone, "step \(step), \(worldSize) ranks")
                for rank in 0..<worldSize {
                    let own = plan.indices(step: step, rank: rank, worldSize: worldSize)
                    #expect(own.count == plan.share(step: step, rank: rank, worldSize: worldSize))
                    let images = plan.shards.ownedImages(rank: rank, worldSize: worldSize)
                    #expect(own.allSatisfy(images.contains))
                }
            }
        }
    }

    @Test(arguments: [(60000, 96), (60000, 100), (60000, 128), (1000, 30), (100, 1), (3, 2), (1, 1)])
    func noImageComesTwiceInAnEpoch(images: Int, batch: Int) throws {
        var plan = try plan(images, batch)
        for epoch in 0..<2 {
            var seen = [Int](repeating: 0, count: images)
            for k in 0..<plan.stepsPerEpoch {
                for image in plan.indices(step: epoch * plan.stepsPerEpoch + k, rank: 0, worldSize: 1) {
                    seen[image] += 1
                }
            }
            #expect(seen.max() == 1)
            #expect(seen.reduce(0, +) == plan.stepsPerEpoch * batch)
        }
    }

    /// By the definition, step by step: what shards give in all, and that one more step would empty one.
    @Test(arguments: [
        (60000, 96, 64, 625), (60000, 100, 64, 600), (60000, 128, 64, 468), (1000, 96, 64, 10), (1000, 7, 8, 142),
    ])
    func stepsPerEpochIsTheMostThatFit(images: Int, batch: Int, shards: Int, steps: Int) throws {
        var plan = try plan(images, batch, shards: shards)
        var phases = [0]
        while phases.count < shards { phases = phases.map { 2 * $0 } + phases.map { 2 * $0 + 1 } }
        var given = [Int](repeating: 0, count: shards)
        for k in 0...plan.stepsPerEpoch {
            let phase = phases[k % shards]
            let gives = (0..<shards).map { ((($0 + 1) * batch + phase) / shards) - (($0 * batch + phase) / shards) }
            for shard in 0..<shards { given[shard] += gives[shard] }
            let fits = (0..<shards).allSatisfy { given[$0] <= plan.shards.images(ofShard: $0).count }
            #expect(fits == (k < plan.stepsPerEpoch), "step \(k)")
            if !fits { break }
            if (k + 1) % shards == 0 { #expect(Set(given) == [batch * (k + 1) / shards]) }
            // No shard is far ahead of another.
            #expect(given.allSatisfy { abs($0 * shards - batch * (k + 1)) <= 3 * shards }, "step \(k)")
            let drawn = plan.indices(step: k, rank: 0, worldSize: 1)
            #expect((0..<shards).map { s in drawn.count { plan.shards.images(ofShard: s).contains($0) } } == gives)
        }
        #expect(plan.stepsPerEpoch == steps)
    }

    @Test func aStepNeedsNoneBefore() throws {
        var first = try plan(5000, 48)
        let steps = (0..<250).map { first.indices(step: $0, rank: 1, worldSize: 3) }
        for step in [0, 1, 100, 103, 104, 249] {
            var fresh = try plan(5000, 48)
            #expect(fresh.indices(step: step, rank: 1, worldSize: 3) == steps[step])
        }
        var far = try plan(5000, 48)
        #expect(whole(&far, 1_000_000_007, 2).count == 48)
    }

    @Test func epochsAndSeedsDiffer() throws {
        var one = try plan(1000, 100)
        var two = try plan(1000, 100, seed: 4)
        let first = one.indices(step: 0, rank: 0, worldSize: 1)
        #expect(one.epoch(ofStep: one.stepsPerEpoch) == 1)
        #expect(one.indices(step: one.stepsPerEpoch, rank: 0, worldSize: 1) != first)
        #expect(two.indices(step: 0, rank: 0, worldSize: 1) != first)
    }

    @Test func refusesBatchesThatDoNotFit() throws {
        expectInputError("batch is 101", "must be 1 to 100") { try plan(100, 101) }
        expectInputError("batch is 0", "must be 1 to 100") { try plan(100, 0) }
        // 100 images in 64 shards of 1 or 2: 99 takes 2 of some shard of 1; 64 and 100 fit.
        expectInputError("batch is 99", "64 virtual shards of 100 images", "--batch 64") { try plan(100, 99) }
        #expect(try plan(100, 64).stepsPerEpoch == 1)
        #expect(try plan(100, 100).stepsPerEpoch == 1)
    }

    @Test func shardsCoverTheImages() throws {
        for images in [1, 2, 3, 63, 64, 65, 1000] {
            let shards = try VirtualShards(imageCount: images)
            #expect(shards.count == [1: 1, 2: 2, 3: 2, 63: 32][images, default: 64])
            #expect((0..<shards.count).flatMap { Array(shards.images(ofShard: $0)) } == Array(0..<images))
            for worldSize in 1...min(shards.count, 7) {
                let owned = (0..<worldSize).map { shards.ownedImages(rank: $0, worldSize: worldSize) }
                #expect(owned.flatMap(Array.init) == Array(0..<images))
                #expect(owned.allSatisfy { !$0.isEmpty })
            }
        }
    }

    @Test func refusesShardsThatDoNotFit() throws {
        expectInputError("data.virtualShards is 3: for 100 images", "power of two from 1 to 64") {
            try VirtualShards(imageCount: 100, count: 3)
        }
        expectInputError("data.virtualShards is 128: for 100 images", "data.virtualShards=64") {
            try VirtualShards(imageCount: 100, count: 128)
        }
        expectInputError("data.virtualShards is 0") { try VirtualShards(imageCount: 100, count: 0) }
        expectInputError("0 images") { try VirtualShards(imageCount: 0) }
        let shards = try VirtualShards(imageCount: 100, count: 4)
        try shards.check(worldSize: 4)
        expectInputError(
            "5 ranks but only 4 virtual shards",
            "--set "
                + "data.virtualShards=8"
        ) { try shards.check(worldSize: 5) }
        expectInputError("65 ranks", "at most 64 ranks for these 100 images") { try shards.check(worldSize: 65) }
    }
}
