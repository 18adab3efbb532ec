import Objectives
import Testing

@Suite struct EstimatorTests {
    @Test func boundsAreTheLogarithmOfTheCandidatesLessTheLoss() throws {
        let anchored = try #require(
            Estimator.infoNCE.mutualInformation(loss: 1, anchor: .global, images: 64, locations: 64))
        #expect(abs(anchored - (8.302266 - 1)) < 1e-5)  // ln(1 + 63·64)
        let local = try #require(
            Estimator.infoNCE.mutualInformation(loss: 0.5, anchor: .local, images: 10, locations: 49))
        #expect(abs(local - (2.302585 - 0.5)) < 1e-5)  // ln 10
        #expect(Estimator.jensenShannon.mutualInformation(loss: 0, anchor: .global, images: 9, locations: 9) == nil)
    }
}
