import Autodiff
import Tensors

/// A multilayer perceptron: linear layers `layer1`, `layer2`, …, with a rectifier after each but the last.
package struct MLP {
    /// The activation after each layer but the last.
    package enum Hidden {
        /// Batch norm `norm1`, `norm2`, … and ReLU, as in the projector and predictor of BYOL (Grill et al. 2020,
        /// section 3.3). The layer before it has no bias, because the norm would remove it.
        case normalised(BatchNormScope)
        /// x where it is positive, otherwise slope·x: 0.2 in the discriminator of FactorVAE (Kim & Mnih 2018, appendix
        /// A), 0 for ReLU.
        case leaky(slope: Float)
    }

    /// The last layer.
    package enum Last {
        /// Linear, with or without a bias. A bias has no use if a batch norm comes next.
        case linear(bias: Bool)
        /// Linear without a bias, then a batch norm without scale and shift, as in the projector of SimSiam (Chen & He
        /// 2021, section 3).
        case normalised(BatchNormScope)
    }

    private enum Activation {
        case norm(BatchNorm)
        case leaky(slope: Float)
        case none
    }

    private let layers: [(linear: Linear, activation: Activation)]

    /// - Parameters:
    ///   - name: path of the layers.
    ///   - inputs: width of the input.
    ///   - widths: widths of the layers in order, at least one; the last is that of the output.
    package init(
        _ declare: Declarations, _ name: String, inputs: Int, widths: [Int], hidden: Hidden,
        last: Last = .linear(bias: true)
    ) {
        var inputs = inputs
        let declare = declare.within(name)
        layers = widths.enumerated().map { index, width in
            defer { inputs = width }
            func linear(bias: Bool) -> Linear {
                Linear(declare, "layer\(index + 1)", inputs: inputs, outputs: width, bias: bias)
            }
            func norm(_ scope: BatchNormScope, isLast: Bool) -> Activation {
                .norm(
                    BatchNorm(
                        declare, "norm\(index + 1)", channels: width, rectified: !isLast, scope: scope,
                        trained: isLast ? .none : .both))
            }
            guard index < widths.count - 1 else {
                return switch last {
                case .linear(let bias): (linear(bias: bias), .none)
                case .normalised(let scope): (linear(bias: false), norm(scope, isLast: true))
                }
            }
            return switch hidden {
            case .leaky(let slope): (linear(bias: true), .leaky(slope: slope))
            case .normalised(let scope): (linear(bias: false), norm(scope, isLast: false))
            }
        }
    }

    /// [n, inputs] to [n, outputs]. Collective in training with batch norms of `sync` scope, in both directions.
    package func callAsFunction(_ tape: Tape, _ x: Variable) throws -> Variable {
        try layers.reduce(x) { x, layer in
            let y = try layer.linear(tape, x)
            return switch layer.activation {
            case .norm(let norm): try norm(tape, y)
            case .leaky(let slope): tape.leakyRectify(y, slope: slope)
            case .none: y
            }
        }
    }
}
