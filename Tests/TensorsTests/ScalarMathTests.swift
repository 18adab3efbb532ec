import Tensors
import Testing

@Suite struct ScalarMathTests {
    private let logarithmOfTwo = 0.693_147_180_559_945_3

    @Test func softplusAndSigmoid() {
        expectClose([Double.softplus(0)], [logarithmOfTwo], within: 1e-15)
        #expect(Double.softplus(1000) == 1000)
        #expect(Double.softplus(-1000) == 0)
        expectClose([Double.softplus(-40)], [4.248_354_255_291_589e-18], within: 1e-14)  // e^-40
        #expect(Double.sigmoid(0) == 0.5)
        #expect(Double.sigmoid(-1000) == 0)
        #expect(Double.sigmoid(1000) == 1)
    }
}
